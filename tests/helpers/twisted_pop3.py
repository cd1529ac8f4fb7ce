"""The POP3 server of Twisted over a folder with a file for each message: `python twisted_pop3.py FOLDER USER PASSWORD`.

Twisted has the protocol. What it leaves to the mailbox is done as its interfaces say.
"""

import sys
from pathlib import Path

from twisted.cred import checkers, credentials, portal
from twisted.internet import protocol, reactor
from twisted.mail import pop3
from zope.interface import implementer


@implementer(pop3.IMailbox)
class Mailbox:
    """The messages that were there when the session began."""

    def __init__(self, folder):
        self.files = sorted(folder.iterdir())
        self.deleted = set()

    def listMessages(self, index=None):  # noqa: N802 - Twisted's names
        sizes = [0 if number in self.deleted else file.stat().st_size for number, file in enumerate(self.files)]
        return sizes if index is None else sizes[index]

    def file(self, index):
        if index in self.deleted:
            raise ValueError("deleted")
        return self.files[index]

    def getMessage(self, index):  # noqa: N802
        return self.file(index).open("rb")

    def getUidl(self, index):  # noqa: N802
        return self.files[index].name.encode()

    def deleteMessage(self, index):  # noqa: N802
        self.file(index)
        self.deleted.add(index)

    def undeleteMessages(self):  # noqa: N802
        self.deleted.clear()

    def sync(self):
        for index in self.deleted:
            self.files[index].unlink()


@implementer(portal.IRealm)
class Realm:
    """Gives everybody the same folder."""

    def __init__(self, folder):
        self.folder = folder

    def requestAvatar(self, _avatar, _mind, *_interfaces):  # noqa: N802
        return pop3.IMailbox, Mailbox(self.folder), lambda: None


class Factory(protocol.ServerFactory):
    """Makes sessions."""

    challengers = {b"CRAM-MD5": credentials.CramMD5Credentials}  # noqa: RUF012

    def __init__(self, realm, checker):
        self.portal = portal.Portal(realm, [checker])

    def buildProtocol(self, _address):  # noqa: N802
        session = pop3.POP3()
        session.factory, session.portal = self, self.portal
        return session


def main():
    folder, user, password = sys.argv[1:]
    checker = checkers.InMemoryUsernamePasswordDatabaseDontUse()
    checker.credentialInterfaces = (credentials.IUsernamePassword, credentials.IUsernameHashedPassword)
    checker.addUser(user.encode(), password.encode())
    port = reactor.listenTCP(0, Factory(Realm(Path(folder)), checker), interface="127.0.0.1")
    print(f"ready on {port.getHost().port}", flush=True)  # noqa: T201 - who has started it reads it
    reactor.run()


if __name__ == "__main__":
    main()
