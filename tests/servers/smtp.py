"""aiosmtpd on two ports: STARTTLS and TLS. ana's password is right. Usage: smtp.py STARTTLS_PORT TLS_PORT CERTIFICATE KEY"""

import ssl
import sys
import threading

from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import SMTP, AuthResult


def login(server, session, envelope, mechanism, data):
    good = data.login == b"ana" and data.password == b"right"
    return AuthResult(success=good, handled=False)


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[3], sys.argv[4])


class StartTls(Controller):
    def factory(self):
        return SMTP(self.handler, hostname="mail.shop.test", tls_context=context, authenticator=login)


class Tls(Controller):
    def factory(self):
        return SMTP(self.handler, hostname="mail.shop.test", authenticator=login, auth_require_tls=False)


StartTls(Sink(), hostname="127.0.0.1", port=int(sys.argv[1])).start()
Tls(Sink(), hostname="127.0.0.1", port=int(sys.argv[2]), ssl_context=context).start()
threading.Event().wait()
