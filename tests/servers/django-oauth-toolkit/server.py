"""django-oauth-toolkit below /o, and two APIs that accept its tokens. Lives as long as its standard input is open."""

import logging
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import django
from django.conf import settings
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import include, path


def lifetime(request):
    return 2 if request.client.client_id == "short" else 600


APPS = ["django.contrib.contenttypes", "django.contrib.auth", "oauth2_provider"]
settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=APPS,
    LOGGING_CONFIG=None,
    # The tables are made from the models at once.
    MIGRATION_MODULES={app.rpartition(".")[2]: None for app in APPS},
    OAUTH2_PROVIDER={"EXTRA_SERVER_KWARGS": {"token_expires_in": lifetime}},
    ROOT_URLCONF=__name__,
    SECRET_KEY="only-a-test",
    USE_TZ=True,
)
django.setup()
logging.disable(logging.WARNING)  # Every refusal is one.

from oauth2_provider.decorators import protected_resource
from oauth2_provider.models import get_access_token_model, get_application_model


def api(request):
    _, _, value = request.headers["Authorization"].partition(" ")
    token = get_access_token_model().objects.get(token=value)
    return JsonResponse({"client_id": token.application.client_id, "scope": token.scope})


urlpatterns = [
    path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
    path("api", protected_resource(advertise_metadata=True)(api)),
    # What the decorator does by default: 403 without a challenge.
    path("bare-api", protected_resource()(api)),
]


def application():
    call_command("migrate", run_syncdb=True, verbosity=0)
    model = get_application_model()
    for client_id, secret in [
        ("basic", "a-secret"),
        ("short", "a-secret"),
        ("plus", "a+secret"),
        # All that RFC 6749 appendix B changes.
        ("an:odd+id%20 &=", "s:e+c%20r &=/?#\"\\~*'()!@"),
    ]:
        # The hash of a secret would cost more than all the rest of a token request.
        model.objects.create(
            client_id=client_id,
            client_secret=secret,
            hash_client_secret=False,
            client_type=model.CLIENT_CONFIDENTIAL,
            authorization_grant_type=model.GRANT_CLIENT_CREDENTIALS,
        )
    return get_wsgi_application()


# A database in memory belongs to one thread.
one_thread = ThreadPoolExecutor(max_workers=1)
provider = one_thread.submit(application).result()


def in_one_thread(environ, start_response):
    return one_thread.submit(provider, environ, start_response).result()


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


listener = make_server("127.0.0.1", 0, in_one_thread, server_class=Server, handler_class=Quiet)
print(f"READY http://127.0.0.1:{listener.server_port}", flush=True)
threading.Thread(target=listener.serve_forever, daemon=True).start()
sys.stdin.read()
