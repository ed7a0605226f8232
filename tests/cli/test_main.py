"""depthbox --help, --version, --debug, mistakes and exit statuses."""

import ast
import resource
import subprocess
import sys
import types
from pathlib import Path

import pytest

from depthbox.cli import main as cli
from depthbox.cli.main import COMMANDS, call, import_command, main, read_summary

FOLDER = Path(cli.__file__).parent


def command(run, **more):
    """Return a command whose ``run`` is the given function."""
    module = types.ModuleType("toy")
    module.SUMMARY, module.EXAMPLES, module.run = "a toy", "examples:", run
    module.add_arguments = lambda parser: parser.add_argument("--size", type=int, default=1)
    vars(module).update(more)
    return module


def fail(error):
    def run(arguments):
        raise error

    return run


def test_help_names_every_command_and_fits_a_terminal(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    lines = shown.splitlines()
    for name in COMMANDS:
        assert any(line.startswith(f"  {name} ") for line in lines), name
    assert max(map(len, lines)) <= 80 and import_command("check").SUMMARY in shown
    assert main([]) == 2
    assert capsys.readouterr().out == shown


def test_help_is_quick_and_leaves_torch_alone():
    words = "import sys; from depthbox.cli.main import main; main(['--help']); sys.exit('torch' in sys.modules)"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True)
    assert done.returncode == 0, f"torch was imported {done.stderr[-500:]}"
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1
    assert "depthbox doctor" in done.stdout


def test_the_commands_import_nothing_heavy_at_their_head():
    for path in FOLDER.glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""] if node.level == 0 else []
                assert node.level < 2 or node.module in ("errors", "io.processes", "app.limits"), (
                    f"{path.name} imports {node.module} before it is needed"
                )
            assert all(name.split(".")[0] in sys.stdlib_module_names for name in names), (path.name, names)


def test_version_in_one_line(capsys):
    assert main(["--version"]) == 0
    line = capsys.readouterr().out
    assert line.startswith("depthbox ") and "torch 2" in line and line.count("\n") == 1


@pytest.mark.parametrize(("word", "hint"), [("trian", "did you mean train?"), ("xyz", "the commands are check, depth")])
def test_unknown_commands_get_a_hint(capsys, word, hint):
    assert main([word]) == 2
    shown = capsys.readouterr().err
    assert hint in shown and shown.count("\n") == 1


def test_a_command_that_is_not_installed(capsys, monkeypatch):
    monkeypatch.setattr(cli, "COMMANDS", (*COMMANDS, "nothing"))
    assert main(["nothing"]) == 2
    assert "'nothing' is not part of this version" in capsys.readouterr().err
    assert read_summary("nothing") == "(not part of this version)"
    assert main(["--help"]) == 0
    missing = ModuleNotFoundError("No module named 'gradio'; pip install 'depthbox[app]'", name="gradio")
    monkeypatch.setattr(cli.importlib, "import_module", lambda name: fail(missing)(None))
    assert main(["train"]) == 2
    assert "pip install 'depthbox[app]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "shown"),
    [
        (ValueError("give\n another"), 2, "toy: give another\n"),
        (FileNotFoundError("no a.json"), 2, "toy: no a.json\n"),
        (ImportError("pip install x"), 2, "toy: pip install x\n"),
        (KeyboardInterrupt(), 130, "to be continued\n"),
    ],
)
def test_mistakes_are_one_line(capsys, error, status, shown):
    module = command(fail(error), STOPPED="to be continued")
    assert call(module, [], prog="toy") == status
    assert capsys.readouterr().err == shown


def test_debug_shows_the_traceback_and_other_errors_are_not_caught(capsys):
    module = command(fail(ValueError("wrong")))
    assert call(module, ["--debug"], prog="toy") == 2
    assert "Traceback" in capsys.readouterr().err
    with pytest.raises(ZeroDivisionError):
        call(command(fail(ZeroDivisionError())), [], prog="toy")


def test_statuses_and_options_that_do_not_fit(capsys):
    module = command(lambda arguments: arguments.size, check_arguments=lambda a: fail(ValueError("too big"))(a))
    assert call(command(lambda arguments: arguments.size), ["--size", "7"], prog="toy") == 7
    with pytest.raises(SystemExit, match="2"):
        call(module, [], prog="toy")
    assert "toy: error: too big" in capsys.readouterr().err


@pytest.mark.parametrize("name", [name for name in COMMANDS if (FOLDER / f"{name}.py").is_file()])
def test_every_command_explains_itself(capsys, name):
    module = import_command(name)
    assert read_summary(name) == module.SUMMARY and len(module.SUMMARY) <= 79 and "\n" not in module.SUMMARY
    with pytest.raises(SystemExit, match="0"):
        main([name, "--help"])
    shown = capsys.readouterr().out
    assert f"depthbox {name}" in shown and "example" in shown and "%(prog)" not in shown
