"""The pages' routes: log-in, language, static files, and every page with its actions.

Who is not logged in comes to the log-in and back. A change is made only when the form carries the
token of this session and the browser says it comes from a page of ours; else nothing has run.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from typing import Any, Final
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from router.config.exchange import MAX_BYTES
from router.web.access import Throttled, TokenOver, guarded
from router.web.api.call import Call, Wrong
from router.web.api.events import Events
from router.web.api.rules import FILE_BYTES
from router.web.gate import Gate, Visit
from router.web.pages import actions, views
from router.web.pages.form import Form, parse_form
from router.web.pages.page import Action, Notice, Page
from router.web.pages.render import fingerprints, render
from router.web.pages.texts import LANGUAGES, chosen
from router.web.services import Services

_LANGUAGE: Final = "dicom-router-language"
_YEAR_SECONDS: Final = 31_536_000
_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_RETRY: Final = {
    "retry": Action("operate", actions.retry),
    "cancel": Action("operate", actions.cancel),
    "hold": Action("operate", actions.hold),
    "resume": Action("operate", actions.resume),
    "hurry": Action("operate", actions.hurry),
}
# A little more than the file itself: the form around it.
_FILES: Final = {"/rules": FILE_BYTES + 65_536, "/stations": MAX_BYTES + 65_536}
PAGES: Final = (
    Page("/", "overview.html", views.overview, "overview", within=True),
    Page("/stations", "stations.html", views.list_stations, "stations",
         {"import": Action("configure", actions.import_stations)}, within=True),
    Page("/stations/{name}", "station.html", views.show_station, "stations",
         {"test": Action("operate", actions.probe),
          "enable": Action("configure", actions.enable),
          "disable": Action("configure", actions.disable)}, within=True),
    Page("/tasks", "tasks.html", views.list_tasks, "tasks", _RETRY, within=True),
    Page("/tasks/{id}", "task.html", views.show_task, "tasks", _RETRY, within=True),
    Page("/studies", "studies.html", views.list_studies, "studies", within=True),
    Page("/studies/{uid}", "study.html", views.show_study, "studies",
         {"send": Action("operate", actions.send),
          "verify": Action("operate", actions.verify),
          "evict": Action("operate", actions.evict),
          "shred": Action("configure", actions.shred),
          "reject": Action("operate", actions.reject),
          "priors": Action("operate", actions.fetch_priors)}, within=True),
    Page("/query", "query.html", views.query, "query",
         {"retrieve": Action("operate", actions.retrieve),
          "prefetch": Action("operate", actions.prefetch)}, within=True),
    Page("/rules", "rules.html", views.list_rules, "rules"),
    Page("/configuration", "configuration.html", views.show_configuration, "configuration",
         {"apply": Action("configure", actions.apply),
          "fetch": Action("configure", actions.fetch),
          "deploy": Action("configure", actions.deploy),
          "rollback": Action("configure", actions.roll_back)}),
    Page("/configuration/files/{path}", "file.html", views.show_file, "configuration",
         {"check": Action("configure", actions.check_file),
          "save": Action("configure", actions.save_file)}),
    Page("/audit", "audit.html", views.list_audit, "audit"),
    Page("/audit/{id}", "audit_entry.html", views.show_audit, "audit", scope="phi"),
    Page("/system", "system.html", views.system, "system",
         {"rotate": Action("configure", actions.rotate),
          "cancel": Action("operate", actions.cancel_prefetch),
          "verify": Action("operate", actions.verify_all),
          "leave": Action("operate", actions.cancel_verification)}),
)  # fmt: skip


def page_routes(services: Services, gate: Gate, events: Events) -> list[BaseRoute]:
    """Every route of the pages."""
    pages = _Pages(services, gate)
    stream = guarded(events.stream, "read", gate.authenticate, within=True)
    return [
        Route("/login", pages.log_in, methods=["GET", "POST"]),
        Route("/logout", pages.log_out, methods=["POST"]),
        Route("/language", pages.language, methods=["GET"]),
        Route("/static/{name}", static, methods=["GET"]),
        Route("/events", stream, methods=["GET"]),
        *(
            Route(
                page.path.replace("{path}", "{path:path}"),
                pages.endpoint(page),
                methods=["GET", "POST"],
            )
            for page in PAGES
        ),
    ]


def page_body_bytes(path: str) -> int:
    """The largest body of a page that takes files; 0 for the others."""
    return _FILES.get(path, 0)


class _Pages:
    def __init__(self, services: Services, gate: Gate) -> None:
        self._services = services
        self._gate = gate

    def endpoint(self, page: Page) -> Callable[[Request], Any]:
        async def show(request: Request) -> Response:
            visit = await run_in_threadpool(self._gate.visit, request)
            if visit is None:
                return _to_login(request)
            try:
                form = await _form(request)
            except ValueError:
                return self._message(request, visit, 400, "message.malformed")
            return await run_in_threadpool(self._shown, page, request, visit, form)

        return show

    def _shown(self, page: Page, request: Request, visit: Visit, form: Form) -> Response:
        if request.method == "POST" and not self._gate.is_own_form(
            request, visit, form.text("csrf")
        ):
            return self._message(request, visit, 403, "message.cross_site")
        if page.scope not in visit.identity.scopes:
            return self._message(request, visit, 403, "message.scope", scope=page.scope)
        if visit.identity.is_limited and not page.within:
            return self._message(request, visit, 403, "message.organizations")
        address = request.client.host if request.client else ""
        query = dict(request.query_params)
        call = Call(visit.identity, request.path_params, query, address=address)
        notice: Notice | None = None
        name = form.text("do")
        if request.method == "POST" and name in page.actions:
            action = page.actions[name]
            if action.scope not in visit.identity.scopes:
                return self._message(request, visit, 403, "message.scope", scope=action.scope)
            notice = self._done(action, call, form)
        try:
            context = page.view(self._services, call, form)
        except Wrong as wrong:
            # What an action did is told also where it left nothing to show, as when a study is gone.
            status = wrong.status if notice is None else 200
            return self._message(
                request, visit, status, "message.wrong", detail=str(wrong), notice=notice
            )
        return self._page(
            request, visit, page.template, {**context, "notice": notice}, page.section
        )

    def _done(self, action: Action, call: Call, form: Form) -> Notice:
        try:
            return action.act(self._services, call, form)
        except Wrong as wrong:
            found = wrong.members.get("problems", ())
            problems = tuple(one for one in found if isinstance(one, dict))
            texts = [str(wrong), *(one for one in found if isinstance(one, str))]
            return Notice("bad", "notice.refused_action", {}, "\n".join(texts), problems)

    def _page(
        self,
        request: Request,
        visit: Visit,
        template: str,
        context: dict[str, Any],
        section: str,
        status: int = 200,
    ) -> Response:
        settings = self._services.plan.router
        shared = {
            "visit": visit,
            "scopes": visit.identity.scopes,
            "section": section,
            "here": request.url.path,
            "method": request.method,
            "router_name": settings.name,
            "whose": settings.organization,
            "is_limited": visit.identity.is_limited,
            "sections": {
                one.section for one in PAGES if one.within or not visit.identity.is_limited
            },
        }
        return render(template, _language(request), {**shared, **context}, status)

    def _message(
        self,
        request: Request,
        visit: Visit,
        status: int,
        key: str,
        *,
        detail: str = "",
        notice: Notice | None = None,
        **values: Any,
    ) -> Response:
        context = {"key": key, "values": values, "detail": detail, "notice": notice}
        return self._page(request, visit, "message.html", context, "", status)

    async def log_in(self, request: Request) -> Response:
        """The form, and what it sends."""
        language = _language(request)
        onward = request.query_params.get("next", "/")
        if not onward.startswith("/") or onward.startswith(("//", "/\\")):
            onward = "/"
        context: dict[str, Any] = {
            "next": onward, "problem": "", "router": self._services.plan.router.name,
        }  # fmt: skip
        if request.method == "GET":
            return render("login.html", language, context)
        if not _is_from_here(request):
            return render("login.html", language, {**context, "problem": "cross_site"}, 403)
        text = (await _form_or_none(request)).text("token")
        answer = RedirectResponse(onward, 303)
        try:
            if await run_in_threadpool(self._gate.log_in, request, text, answer):
                return answer
        except Throttled as error:
            page = render("login.html", language, {**context, "problem": "throttled"}, 429)
            page.headers["retry-after"] = str(error.retry_after_seconds)
            return page
        except TokenOver as error:
            return render("login.html", language, {**context, "problem": error.why}, 401)
        return render("login.html", language, {**context, "problem": "unknown"}, 401)

    async def log_out(self, request: Request) -> Response:
        """End the session."""
        visit = await run_in_threadpool(self._gate.visit, request)
        form = await _form_or_none(request)
        if visit is None or not self._gate.is_own_form(request, visit, form.text("csrf")):
            return _to_login(request)
        answer = RedirectResponse("/login", 303)
        await run_in_threadpool(self._gate.log_out, request, answer)
        return answer

    async def language(self, request: Request) -> Response:
        """Remember a language in this browser, and go back to the page it was chosen on."""
        onward = request.query_params.get("next", "/")
        if not onward.startswith("/") or onward.startswith(("//", "/\\")):
            onward = "/"
        answer = RedirectResponse(onward, 303)
        name = request.query_params.get("to", "")
        if name in LANGUAGES:
            answer.set_cookie(
                _LANGUAGE, name, max_age=_YEAR_SECONDS, httponly=True, samesite="lax",
                secure=request.url.scheme == "https",
            )  # fmt: skip
        return answer


def _to_login(request: Request) -> Response:
    query = f"?{request.url.query}" if request.url.query else ""
    onward = quote(f"{request.url.path}{query}" if request.method == "GET" else request.url.path)
    return RedirectResponse(f"/login?next={onward}", 303)


async def _form(request: Request) -> Form:
    if request.method != "POST":
        return Form()
    return parse_form(request.headers.get("content-type", ""), await request.body())


async def _form_or_none(request: Request) -> Form:
    """The form; an empty one for what is none."""
    try:
        return await _form(request)
    except ValueError:
        return Form()


def _is_from_here(request: Request) -> bool:
    """Whether the log-in form itself is ours: else a site could log somebody in as another."""
    host = request.headers.get("host", "")
    return request.headers.get("origin") == f"{request.url.scheme}://{host}"


def _language(request: Request) -> str:
    accepted = request.headers.get("accept-language", "")
    return chosen(request.cookies.get(_LANGUAGE, ""), accepted)


def static(request: Request) -> Response:
    """A file of the pages: no secret in it, and nobody need be logged in."""
    name = request.path_params["name"]
    if name not in fingerprints():
        return Response("there is no such file\n", 404, media_type="text/plain")
    content = resources.files("router.web.pages").joinpath("static", name).read_bytes()
    headers = {"cache-control": f"public, max-age={_YEAR_SECONDS}, immutable"}
    return Response(content, headers=headers, media_type=_TYPES[name.rpartition(".")[2]])
