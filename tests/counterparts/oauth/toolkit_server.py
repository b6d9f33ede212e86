"""A small Django site with django-oauth-toolkit: `python -m tests.counterparts.oauth.toolkit_server '<settings>'`.

The settings are JSON: port, database, origin, client (id, secret, redirect), leeway (seconds in which a rotated refresh
token is answered with the same tokens again), issuer (sent in the callback; none when empty).
"""

import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

urlpatterns: list[Any] = []
LOGIN = "<form method=post>{% csrf_token %}{{ form }}<button>Log in</button></form>"


def configure(given: dict[str, Any]) -> None:
    """Set Django up: what the toolkit's own tutorial asks for, rotation with reuse protection on."""
    from django.conf import settings

    settings.configure(
        SECRET_KEY="only for tests",
        ALLOWED_HOSTS=["127.0.0.1"],
        ROOT_URLCONF=__name__,
        USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        LOGIN_URL="/accounts/login/",
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        INSTALLED_APPS=[
            "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "oauth2_provider",
        ],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware", "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        DATABASES={"default": {
            "ENGINE": "django.db.backends.sqlite3", "NAME": given["database"],
            "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL"},
        }},
        TEMPLATES=[{
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {
                "loaders": [
                    ("django.template.loaders.locmem.Loader", {"registration/login.html": LOGIN}),
                    "django.template.loaders.app_directories.Loader",
                ],
                "context_processors": ["django.template.context_processors.request"],
            },
        }],
        OAUTH2_PROVIDER={
            "PKCE_REQUIRED": True,
            "SCOPES": {"people.read": "Read people"},
            "ACCESS_TOKEN_EXPIRE_SECONDS": 3600,
            "ROTATE_REFRESH_TOKEN": True,
            "REFRESH_TOKEN_REUSE_PROTECTION": True,
            "REFRESH_TOKEN_GRACE_PERIOD_SECONDS": given["leeway"],
            "REFRESH_TOKEN_EXPIRE_SECONDS": 86_400,
            "OIDC_ISS_ENDPOINT": given["issuer"],
            "COMPLIANT_BCP_RFC9700_AUTHZ_RESPONSE_ISS": bool(given["issuer"]),
        },
    )  # fmt: skip


def seed(given: dict[str, Any]) -> None:
    """Make the tables, two people and the application, unless they are there."""
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from oauth2_provider.models import Application

    call_command("migrate", verbosity=0, interactive=False)
    for name in ("acme", "globex"):
        if not User.objects.filter(username=name).exists():
            User.objects.create_user(name, password="password")
    client = given["client"]
    if not Application.objects.filter(client_id=client["id"]).exists():
        Application.objects.create(
            client_id=client["id"], client_secret=client["secret"], redirect_uris=client["redirect"], name="Patchbay",
            client_type="confidential", authorization_grant_type="authorization-code",
        )  # fmt: skip


def main(given: dict[str, Any]) -> None:
    """Serve until killed."""
    configure(given)
    import django

    django.setup()
    # Only now: these need the applications to be loaded.
    from django.contrib.auth.views import LoginView
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpRequest, JsonResponse
    from django.urls import include, path
    from oauth2_provider.models import AccessToken
    from oauth2_provider.views.generic import ProtectedResourceMetadataView
    from werkzeug.serving import make_server

    seed(given)

    class Me(ProtectedResourceMetadataView):
        """Who the token belongs to."""

        def get(self, request: HttpRequest) -> JsonResponse:
            return JsonResponse({"sub": request.resource_owner.username})

    def end(request: HttpRequest) -> JsonResponse:
        """End one access token early; its refresh token lives on."""
        found = AccessToken.objects.filter(token=request.GET["token"])
        return JsonResponse({"ended": found.update(expires=datetime.now(UTC) - timedelta(seconds=1))})

    urlpatterns[:] = [
        path("end", end),
        path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
        path("accounts/login/", LoginView.as_view()),
        path("me", Me.as_view()),
    ]
    server = make_server("127.0.0.1", given["port"], get_wsgi_application(), threaded=True)
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
