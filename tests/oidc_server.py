"""A provider of OpenID Connect, made with Authlib's own server, on loopback.

Whoever comes to its door is signed in at once, as the user that a test names.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from authlib.oauth2.rfc6749 import (
    AuthorizationServer,
    ClientMixin,
    JsonRequest,
    OAuth2Request,
    grants,
)
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core import AuthorizationCodeMixin
from authlib.oidc.core.grants import OpenIDCode
from joserfc.jwk import KeySet, RSAKey

CLIENT, SECRET = "serantau-th", "between the two of us"


@dataclass
class Client(ClientMixin):  # type: ignore[misc]
    """This node, as the provider knows it."""

    client_id: str = CLIENT

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> str:
        return ""

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri.endswith("/sign-in/oidc/back")

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == SECRET

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


@dataclass
class Code(AuthorizationCodeMixin):  # type: ignore[misc]
    """A code that was given out."""

    code: str
    redirect_uri: str
    scope: str
    nonce: str
    code_challenge: str
    code_challenge_method: str

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str:
        return self.nonce

    def get_auth_time(self) -> None:
        return None

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None


class Asked(OAuth2Request):  # type: ignore[misc]
    """A request, whose fields came in its address or its body."""

    @property
    def args(self) -> Any:
        return self.payload.data

    @property
    def form(self) -> Any:
        return self.payload.data


@dataclass
class Provider:
    """A provider. who: what it says of whoever comes. lies: claims that are wrong."""

    issuer: str
    who: dict[str, Any] = field(default_factory=lambda: {"sub": "mali"})
    lies: dict[str, Any] = field(default_factory=dict)
    codes: dict[str, Code] = field(default_factory=dict)
    key: Any = field(
        default_factory=lambda: RSAKey.generate_key(2048, {"use": "sig"}, auto_kid=True)
    )
    signs_with: Any = None


def server_of(provider: Provider) -> AuthorizationServer:
    class CodeGrant(grants.AuthorizationCodeGrant):  # type: ignore[misc]
        TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic",)

        def save_authorization_code(self, code: str, request: Any) -> None:
            given = request.payload.data
            provider.codes[code] = Code(
                code,
                request.payload.redirect_uri,
                request.payload.scope,
                given["nonce"],
                given.get("code_challenge", ""),
                given.get("code_challenge_method", ""),
            )

        def query_authorization_code(self, code: str, client: Any) -> Any:
            return provider.codes.get(code)

        def delete_authorization_code(self, authorization_code: Any) -> None:
            provider.codes.pop(authorization_code.code)

        def authenticate_user(self, authorization_code: Any) -> Any:
            return provider.who

    class Tokens(OpenIDCode):  # type: ignore[misc]
        def get_client_algorithm(self, client: Any) -> str:
            return "RS256"

        def get_client_claims(self, client: Any) -> dict[str, Any]:
            return {"iss": provider.issuer}

        def resolve_client_private_key(self, client: Any) -> Any:
            return provider.signs_with or provider.key

        def exists_nonce(self, nonce: str, request: Any) -> bool:
            return False

        def generate_user_info(self, user: Any, scope: str) -> dict[str, Any]:
            return {**user, **provider.lies}

    class Server(AuthorizationServer):  # type: ignore[misc]
        def query_client(self, client_id: str) -> Any:
            return Client() if client_id == CLIENT else None

        def save_token(self, token: Any, request: Any) -> None:
            """Nothing here asks for one again."""

        def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
            """Nobody listens."""

        def create_oauth2_request(self, request: Any) -> OAuth2Request:
            return request

        def create_json_request(self, request: Any) -> JsonRequest:
            raise NotImplementedError

        def handle_response(self, status: int, body: Any, headers: Any) -> Any:
            return status, body, headers

    made = Server()
    made.register_token_generator(
        "default",
        lambda **asked: {
            "token_type": "Bearer",
            "access_token": "of no use",
            "expires_in": 60,
            "scope": asked["scope"],
        },
    )
    made.register_grant(CodeGrant, [Tokens(), CodeChallenge(required=True)])
    return made


def door_of(provider: Provider) -> type[BaseHTTPRequestHandler]:
    server = server_of(provider)

    class Door(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            """A test is quiet."""

        def _asked(self, given: str) -> OAuth2Request:
            uri = f"{provider.issuer}{self.path}"
            asked = Asked(self.command, uri, headers=self.headers)
            asked.payload = BasicOAuth2Payload(dict(parse_qsl(given)))
            return asked

        def _tell(self, status: int, body: Any, headers: Any = ()) -> None:
            raw = json.dumps(body).encode() if not isinstance(body, str) else b""
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path == "/.well-known/openid-configuration":
                self._tell(
                    200,
                    {
                        "issuer": provider.issuer,
                        "authorization_endpoint": f"{provider.issuer}/authorize",
                        "token_endpoint": f"{provider.issuer}/token",
                        "jwks_uri": f"{provider.issuer}/keys",
                    },
                )
            elif parts.path == "/keys":
                self._tell(200, KeySet([provider.key]).as_dict(private=False))
            else:
                asked = self._asked(parts.query)
                grant = server.get_consent_grant(asked, provider.who)
                self._tell(
                    *server.create_authorization_response(
                        asked, grant_user=provider.who, grant=grant
                    )
                )

        def do_POST(self) -> None:
            given = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self._tell(*server.create_token_response(self._asked(given)))

    return Door


@contextmanager
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    """Run a provider on loopback."""
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    made = Provider("")
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), door_of(made))
    made.issuer = f"http://127.0.0.1:{httpd.server_port}"
    thread = threading.Thread(
        target=httpd.serve_forever, kwargs={"poll_interval": 0.05}
    )
    thread.start()
    try:
        yield made
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()
