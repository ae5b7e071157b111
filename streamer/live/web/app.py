"""Routes of the web server. Nothing here can reach a raw picture: `GatewayView` has none to give."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from pydantic import SecretStr
from starlette.middleware.trustedhost import TrustedHostMiddleware

from streamer.live.health import Health, alive, ready
from streamer.live.metrics import CONTENT_TYPE, metrics_registry, metrics_text
from streamer.live.view import GatewayView
from streamer.live.web.access import COOKIE, SESSION_SECONDS, Access
from streamer.live.web.headers import SafeHeaders
from streamer.live.web.pictures import BOUNDARY, Pictures
from streamer.live.web.summary import summary

_STATIC = Path(__file__).parent / "static"
_ASSETS = {
    "app.js": "text/javascript",
    "plots.js": "text/javascript",
    "style.css": "text/css",
    "icon.svg": "image/svg+xml",
}
_LARGEST_FORM_BYTES = 4096
# Without a token nobody but this machine may look, also not a web page that makes its own name point here.
_LOCAL_HOSTS = ["127.0.0.1", "localhost", "[::1]"]


def create_app(gateway: GatewayView, token: SecretStr | None) -> FastAPI:
    """The web page, `/metrics`, `/healthz` and `/readyz` of a gateway.

    Args:
        token: needed for everything but the health checks and the login form; None asks for none, and answers
            only requests that were sent to this machine by its local names.
    """
    pictures = Pictures(gateway)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(pictures.let_go())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    app = FastAPI(title="veilstream", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    access = Access(token)
    app.state.access = access
    if access.is_open:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=_LOCAL_HOSTS, www_redirect=False)
    app.add_middleware(SafeHeaders)
    _add_health(app, gateway)
    _add_login(app, access)
    _add_page(app, gateway, access, pictures)
    return app


def _add_health(app: FastAPI, gateway: GatewayView) -> None:
    """Open to all: supervisors hold no token. The answers name no camera."""

    def answer(health: Health, good: str, bad: str) -> JSONResponse:
        content: dict[str, Any] = {"status": good if health.ok else bad}
        if health.waiting:
            content["cameras_waiting"] = health.waiting
        return JSONResponse(content, status_code=200 if health.ok else 503)

    @app.get("/healthz")
    def healthz() -> JSONResponse:
        return answer(alive(gateway), "ok", "a camera's thread has died")

    @app.get("/readyz")
    def readyz() -> JSONResponse:
        return answer(ready(gateway), "ready", "waiting for pictures")


def _login_page(*, refused: bool = False) -> HTMLResponse:
    page = (_STATIC / "login.html").read_text(encoding="utf-8")
    if refused:
        page = page.replace("<!-- refused -->", '<p class="warning" role="alert">That is not the token.</p>')
    return HTMLResponse(page, 401 if refused else 200)


def _add_login(app: FastAPI, access: Access) -> None:
    @app.get("/login")
    def login_form() -> Response:
        return RedirectResponse("/", 303) if access.is_open else _login_page()

    @app.post("/login")
    async def login(request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _LARGEST_FORM_BYTES:
                raise HTTPException(413, "the form is too large")
        given = parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0].strip()
        if not access.is_token(given):
            return _login_page(refused=True)
        response = RedirectResponse("/", 303)
        response.set_cookie(
            COOKIE,
            access.new_session(),
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return response

    @app.post("/logout")
    def logout() -> Response:
        response = RedirectResponse("/login", 303)
        response.delete_cookie(COOKIE)
        return response

    @app.get("/static/{name}")
    def asset(name: str) -> Response:
        if name not in _ASSETS:
            raise HTTPException(404, "no such file")
        return FileResponse(_STATIC / name, media_type=_ASSETS[name])


def _add_page(app: FastAPI, gateway: GatewayView, access: Access, pictures: Pictures) -> None:
    registry = metrics_registry(gateway)

    def allowed(request: Request) -> None:
        if not access.allows(request):
            raise HTTPException(401, "show the token", {"WWW-Authenticate": "Bearer"})

    guard = [Depends(allowed)]

    @app.get("/")
    def page(request: Request) -> Response:
        if not access.allows(request):
            return RedirectResponse("/login", 303)
        return FileResponse(_STATIC / "index.html")

    @app.get("/metrics", dependencies=guard)
    def metrics() -> Response:
        return Response(metrics_text(registry), media_type=CONTENT_TYPE)

    @app.get("/api/summary", dependencies=guard)
    def api_summary() -> JSONResponse:
        return JSONResponse({**summary(gateway), "has_login": not access.is_open})

    @app.get("/api/cameras/{name}/picture.jpg", dependencies=guard)
    async def picture(name: str, after: Annotated[int, Query(ge=-1)] = -1) -> Response:
        """The newest picture, its number in `X-Picture`; 204 when it is the one `after` names, or there is none."""
        try:
            found = pictures.latest(name)
        except KeyError:
            raise HTTPException(404, "this camera has no preview") from None
        if found is None or found[0] == after:
            return Response(status_code=204)
        number, jpeg = found
        return Response(jpeg, media_type="image/jpeg", headers={"X-Picture": str(number)})

    @app.get("/api/cameras/{name}/stream.mjpeg", dependencies=guard)
    async def stream(name: str) -> Response:
        try:
            parts = await pictures.mjpeg(name)
        except KeyError:
            raise HTTPException(404, "this camera has no preview") from None
        return StreamingResponse(parts, media_type=f"multipart/x-mixed-replace; boundary={BOUNDARY}")
