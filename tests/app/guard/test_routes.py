"""Routes that are forwarded, and those of Gradio that are not."""

from pathlib import Path

import pytest

from depthbox.app.guard.routes import RefusedError, check_route, find_session, is_cacheable

UNUSED = (
    *("file=/etc/passwd", "file/etc/passwd", "proxy=http://x", "stream/x", "component_server", "info", "openapi.json"),
    *("run/take", "api/take", "call/take", "call/v2/take", "call/take/1", "cancel", "reset", "deep_link", "runs"),
    *(
        "startup-events",
        "dev/reload",
        "mcp",
        "mcp/sse",
        "login_check",
        "token",
        "user",
        "queue/status",
        "upload_progress",
    ),
    *("custom_component/a/client/b/c", "process_recording", "vibe-code", "heartbeat/", "heartbeat/a/b", "upload/"),
)


@pytest.mark.parametrize("path", ["/", "/config", "/theme.css", "/assets/index-a1.js", "/static/fonts/x-1.woff2"])
def test_the_page_and_its_files_are_forwarded(path: str) -> None:
    check_route("GET", path)
    with pytest.raises(RefusedError, match="accepts GET and HEAD only") as refused:
        check_route("POST", path)
    assert refused.value.status == 405


def test_calls_and_uploads_are_posts() -> None:
    for path in ("/gradio_api/queue/join", "/gradio_api/upload"):
        check_route("POST", path)
        with pytest.raises(RefusedError, match="accepts POST only"):
            check_route("GET", path)


@pytest.mark.parametrize(
    "path",
    [
        *(f"/gradio_api/{name}" for name in UNUSED),
        *(
            "/monitoring",
            "/login",
            "/logout",
            "/file=/etc/passwd",
            "/docs",
            "/svelte/x",
            "/manifest.json",
            "/robots.txt",
        ),
        *(
            "/assets/../config",
            "/assets/.env",
            "/static/a/../../x",
            "/assets//x",
            "//config",
            "/assets/a\\b",
            "/x\0",
            "",
        ),
        *("/assets/", "/download/x/y", f"/download/{'0' * 32}", f"/download/{'0' * 32}/a/b", "/config/x"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_everything_else_is_refused(method: str, path: str) -> None:
    with pytest.raises(RefusedError, match="no such address") as refused:
        check_route(method, path)
    assert refused.value.status == 404


def test_sessions_are_found_in_path_and_query() -> None:
    assert find_session("/gradio_api/heartbeat/abc1", {}) == "abc1"
    assert find_session("/gradio_api/queue/data", {"session_hash": "abc2"}) == "abc2"
    assert find_session("/gradio_api/queue/data", {}) == "" and find_session("/config", {"session_hash": "a"}) is None


def test_only_program_files_are_cached() -> None:
    assert is_cacheable("/assets/x.js") and not is_cacheable("/") and not is_cacheable(f"/download/{'0' * 32}/a.json")


def test_all_program_files_of_gradio_have_a_route() -> None:
    gradio = pytest.importorskip("gradio", reason="pip install 'depthbox[app]'")
    folder = Path(gradio.__file__).parent / "templates" / "frontend"
    files = [
        path.relative_to(folder).as_posix() for part in ("assets", "static") for path in (folder / part).rglob("*")
    ]
    names = [name for name in files if (folder / name).is_file()]
    assert len(names) > 100
    for name in names:
        check_route("GET", f"/{name}")
