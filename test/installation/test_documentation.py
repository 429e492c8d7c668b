"""What the documents name exists, and what a user can set is in them."""

import re
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
CRATES = ['hazcat', 'hazcat_core', 'rmw_hazcat_rs']


def files(*patterns):
    """Files of the source, without what was built in it or lies there besides."""
    built = {'target', 'build', 'install', 'log', 'results', '.git'}
    found = [path for pattern in patterns for path in REPOSITORY.rglob(pattern)]
    return [path for path in found if not built & set(path.relative_to(REPOSITORY).parts)]


def documents():
    found = files('*.md')
    assert REPOSITORY / 'README.md' in found and REPOSITORY / 'docs/configuration.md' in found
    return {path.relative_to(REPOSITORY): path.read_text() for path in found}


def rows(text):
    """Of each table of variables: name to default."""
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip('|').split('|')]
        for name in re.findall(r'`((?:HAZCAT|ROS)_[A-Z_]+)`', cells[0]) if len(cells) == 3 else ():
            found[name] = cells[2]
    return found


def read_variables():
    """The middleware's variables in its own code, without that of its tests."""
    found = set()
    for crate in CRATES:
        for path in (REPOSITORY / crate / 'src').rglob('*.rs'):
            # The names of errors of the CUDA domain look alike.
            if {'conformance', 'cuda'} & set(path.parts) or path.stem.endswith('tests'):
                continue
            code = path.read_text().partition('\n#[cfg(test)]\nmod tests {')[0]
            found |= set(re.findall(r'"(HAZCAT_[A-Z_]+)"', code))
    return found


def test_every_variable_that_is_read_is_documented_and_the_reverse():
    documented = rows((REPOSITORY / 'docs/configuration.md').read_text())
    assert len(documented) > 10
    assert {name for name in documented if name.startswith('HAZCAT')} == read_variables()


def test_readme_and_configuration_agree_about_the_variables():
    readme, all_of_them = (rows((REPOSITORY / name).read_text()) for name in ('README.md', 'docs/configuration.md'))
    assert readme == {name: default for name, default in all_of_them.items() if 'SIM' not in name}


def test_names_of_settings_in_documents_occur_in_code():
    code = '\n'.join(path.read_text(errors='replace') for path in files(
        '*.rs', '*.py', '*.cmake', 'CMakeLists.txt', '*.bash', '*.c', '*.h', '*.cpp', '*.hpp', 'demo', 'test', 'run', 'cargo_check')
        if path.is_file() and path != Path(__file__))
    known = set(re.findall(r'\b(?:HAZCAT|FAKE_CUDA)_[A-Z0-9_]+', code))
    for path, text in documents().items():
        unknown = set(re.findall(r'\b(?:HAZCAT|FAKE_CUDA)_[A-Z0-9_]*[A-Z0-9]\b(?!\*)', text)) - known
        assert not unknown, f'{path}: {unknown}'


def test_links_lead_somewhere():
    def anchors(text):
        headings = re.findall(r'^#+ (.*)$', text, re.MULTILINE)
        return {re.sub(r'[^\w\- ]', '', heading.lower()).strip().replace(' ', '-') for heading in headings}

    for path, text in documents().items():
        for link in re.findall(r'\]\(([^)\s]+)\)', text):
            if re.match(r'[a-z]+:', link):
                continue
            name, _, anchor = link.partition('#')
            target = (REPOSITORY / path.parent / name) if name else REPOSITORY / path
            assert target.exists(), f'{path}: {link}'
            assert not anchor or anchor in anchors(target.read_text()), f'{path}: {link}'


def test_paths_in_documents_exist():
    tops = {path.name for path in REPOSITORY.iterdir() if path.is_dir()} - {'target', 'build', 'install', 'log', 'rmw_hazcat_rs'}
    for path, text in documents().items():
        for name in re.findall(r'`(\.?[\w-]+/[\w./*-]+)`', text):
            if name.split('/')[0] in tops and not re.search(r'/(build|install|results|target)\b', name):
                assert list(REPOSITORY.glob(name.rstrip('/'))), f'{path}: {name}'


def test_programs_that_documents_run_are_installed():
    lists = '\n'.join(path.read_text() for path in files('CMakeLists.txt', '*.cmake'))
    roles = re.search(r'foreach\(_role IN ITEMS ([\w ]+)\)', lists)[1].split()
    programs = {'talker', 'listener', 'c_camera', 'c_viewer', 'camera', 'viewer', 'hazcat'}
    programs |= {f'{crate}_{role}' for crate in ('rclrs', 'r2r') for role in roles}
    launch_files = {path.name for path in (REPOSITORY / 'launch').iterdir()}
    for path, text in documents().items():
        for kind, name in re.findall(r'ros2 (run|launch) rmw_hazcat_rs ([\w.]+)', text):
            assert name in (programs if kind == 'run' else launch_files), f'{path}: ros2 {kind} {name}'


def test_scripts_say_how_they_are_used():
    for script in ('demo', 'test'):
        done = subprocess.run([REPOSITORY / 'scripts' / script, '--help'], stdout=subprocess.PIPE, text=True, timeout=60)
        assert done.returncode == 0 and f'scripts/{script}' in done.stdout
