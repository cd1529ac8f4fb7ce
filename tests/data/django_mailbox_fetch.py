"""Fetch new mail by django-mailbox, as its users do, into a database in memory; print the subject of each message."""

import sys

import django
from django.conf import settings
from django.core.management import call_command


def main(uri):
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        INSTALLED_APPS=["django_mailbox"],
        USE_TZ=True,
    )
    django.setup()
    call_command("migrate", verbosity=0)
    from django_mailbox.models import Mailbox

    mailbox = Mailbox.objects.create(name="ann", uri=uri)
    for message in mailbox.get_new_mail():
        print(message.subject, len(message.text), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
