"""Fetch all mail into a folder, and remove it from the server: a script on poplib, as many have one."""

import argparse
import hashlib
import os
import poplib
import ssl
from email import message_from_bytes, policy
from getpass import getpass
from pathlib import Path


def connect(arguments):
    if arguments.tls == "implicit":
        port = arguments.port or poplib.POP3_SSL_PORT
        return poplib.POP3_SSL(arguments.host, port, timeout=60, context=ssl.create_default_context())
    mailbox = poplib.POP3(arguments.host, arguments.port or poplib.POP3_PORT, timeout=60)
    if arguments.tls == "starttls":
        mailbox.stls(ssl.create_default_context())
    return mailbox


def fetch(arguments, password):
    mailbox = connect(arguments)
    try:
        mailbox.user(arguments.user)
        mailbox.pass_(password)
        for row in mailbox.list()[1]:
            number, size = map(int, row.split())
            try:
                lines = mailbox.retr(number)[1]
            except poplib.error_proto as error:
                print(f"{number}: skipped, {error}")
                continue
            message = b"".join(line + b"\r\n" for line in lines)
            subject = message_from_bytes(message, policy=policy.default)["Subject"]
            print(f"{number}: {size} octets, {subject or '(no subject)'}")
            save(arguments.folder, message)
            mailbox.dele(number)
        mailbox.quit()
    finally:
        mailbox.close()


def save(folder, message):
    file = folder / f"{hashlib.sha256(message).hexdigest()}.eml"
    part = file.with_suffix(".part")
    part.write_bytes(message)
    part.replace(file)


def main():
    parser = argparse.ArgumentParser(description="Move all mail into a folder.")
    parser.add_argument("host")
    parser.add_argument("user")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int)
    parser.add_argument("--tls", choices=("implicit", "starttls", "none"), default="implicit")
    arguments = parser.parse_args()
    password = os.environ.get("POP3_PASSWORD") or getpass()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    try:
        fetch(arguments, password)
    except (poplib.error_proto, OSError) as error:
        raise SystemExit(f"failed: {error}") from error


if __name__ == "__main__":
    main()
