"""Authlib's authorization server over Flask, and an API that takes its tokens. Lives as long as its standard input is open."""

import os
import sys
import threading
import time

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # It is on loopback.

from authlib.common.security import generate_token
from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector, current_token
from authlib.oauth2.rfc6749 import ClientMixin, TokenMixin, grants, list_to_scope, scope_to_list
from authlib.oauth2.rfc6750 import BearerTokenGenerator, BearerTokenValidator
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server


class Client(ClientMixin):
    def __init__(self, client_id, secret, method):
        self.client_id, self.secret, self.method = client_id, secret, method

    def get_client_id(self):
        return self.client_id

    def get_allowed_scope(self, scope):
        return list_to_scope([name for name in scope_to_list(scope or "read") if name in ("read", "write")])

    def check_client_secret(self, client_secret):
        return client_secret == self.secret

    def check_endpoint_auth_method(self, method, endpoint):
        return method == self.method

    def check_grant_type(self, grant_type):
        return grant_type == "client_credentials"


class Token(TokenMixin):
    def __init__(self, client, scope, expires_in):
        self.client, self.scope, self.expires_at = client, scope, time.time() + expires_in
        self.revoked = False

    def check_client(self, client):
        return self.client is client

    def get_scope(self):
        return self.scope

    def get_client(self):
        return self.client

    def is_expired(self):
        return self.expires_at < time.time()

    def is_revoked(self):
        return self.revoked


CLIENTS = {
    client.client_id: client
    for client in [
        Client("basic", "a-secret", "client_secret_basic"),
        # With a space: Authlib decodes `%20`, but not `+`.
        Client("an:odd+id%20 &=", "s:e+c%20r &=/?#", "client_secret_basic"),
        Client("post", "s:e+c%20r &=/?#", "client_secret_post"),
        Client("short", "a-secret", "client_secret_basic"),
    ]
}
TOKENS = {}


class Grant(grants.ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post"]


class Revocation(RevocationEndpoint):
    def query_token(self, token_string, token_type_hint):
        return TOKENS.get(token_string)

    def revoke_token(self, token, request):
        token.revoked = True


class Introspection(IntrospectionEndpoint):
    def check_permission(self, token, client, request):
        return True

    def query_token(self, token_string, token_type_hint):
        return TOKENS.get(token_string)

    def introspect_token(self, token):
        return {"active": True, "client_id": token.client.client_id, "scope": token.scope}


class Validator(BearerTokenValidator):
    def authenticate_token(self, token_string):
        return TOKENS.get(token_string)


def save(token, request):
    TOKENS[token["access_token"]] = Token(request.client, token["scope"], token["expires_in"])


def random_token(**_):
    return generate_token(42)


def lifetime(client, grant_type):
    return 2 if client.client_id == "short" else 600


app = Flask(__name__)
app.config["OAUTH2_SCOPES_SUPPORTED"] = ["read", "write"]
server = AuthorizationServer(app, query_client=CLIENTS.get, save_token=save)
server.register_token_generator("default", BearerTokenGenerator(random_token, expires_generator=lifetime))
server.register_grant(Grant)
server.register_endpoint(Revocation)
server.register_endpoint(Introspection)
require = ResourceProtector()
require.register_token_validator(Validator())


@app.post("/token")
def token():
    return server.create_token_response()


@app.post("/revoke")
def revoke():
    return server.create_endpoint_response("revocation")


@app.post("/introspect")
def introspect():
    return server.create_endpoint_response("introspection")


@app.get("/api")
@require()
def api():
    return {"client_id": current_token.client.client_id, "scope": current_token.scope}


class Quiet(WSGIRequestHandler):
    def log_request(self, *_):
        pass


listener = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
print(f"READY http://127.0.0.1:{listener.server_port}", flush=True)
threading.Thread(target=listener.serve_forever, daemon=True).start()
sys.stdin.read()
