"""Strict YAML: no aliases, anchors, tags, merge or duplicate keys, nothing ambiguous; every error has line and path.

What the rules prevent: reliability, case M01 and M02 (billion laughs, silent overwrites, `no` as False).
"""

import re
from dataclasses import dataclass
from typing import Any

import yaml

_YAML_FIX = "Look at this line and the one before: indent with spaces, close what is open, quote texts with : or #."
MAX_BYTES, MAX_DEPTH, MAX_NODES = 256 * 1024, 20, 5000
_AMBIGUOUS = re.compile(
    r"(?i)^(y|yes|n|no|on|off|true|false|~|null|[-+]?[0-9][0-9_]+|[-+]?0[xob][0-9a-f_]+|[-+]?\d+(:[0-5]?\d)+(\.\d*)?"
    r"|[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?|\d{4}-\d\d?-\d\d?.*|[-+]?\.(inf|nan)|=|<<)$"
)
_INT = re.compile(r"^[-+]?(0|[1-9][0-9]{0,17})$")
_FLOAT = re.compile(r"^[-+]?[0-9]+\.[0-9]+$")
# Controls, marks of direction, characters without width, other line breaks, halves of characters.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufffe\uffff\U000e0000-\U000e007f]"
)


@dataclass(frozen=True)
class Issue:
    """One thing that is wrong: dotted path, line (from 1, 0 unknown), what, how to right it, and the check's stable id."""

    path: str
    line: int
    message: str
    fix: str = ""
    id: str = "yaml"

    def __str__(self) -> str:
        place = f"line {self.line}, " if self.line else ""
        return f"{place}{self.path or 'the document'}: {self.message}" + (f" {self.fix}" if self.fix else "")


class ManifestError(ValueError):
    """A manifest that cannot be used; `issues` lists everything that is wrong."""

    def __init__(self, source: str, issues: list[Issue]) -> None:
        super().__init__(f"{source}: " + "\n".join(str(issue) for issue in issues))
        self.source = source
        self.issues = issues


def load_yaml(content: bytes | str, source: str) -> tuple[Any, dict[str, int]]:
    """Return the document as JSON values and a map of dotted path -> line. ManifestError names line and path."""
    raw = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    if len(raw) > MAX_BYTES:
        raise ManifestError(source, [Issue("", 0, f"is larger than {MAX_BYTES // 1024} kB.", "Shorten it.")])
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise ManifestError(source, [Issue("", 0, "is not UTF-8 text.", "Save it as UTF-8.")]) from None
    hidden = _HIDDEN.search(text)
    if hidden:
        line = text.count("\n", 0, hidden.start()) + 1
        raise ManifestError(source, [Issue("", line, "holds a control character that hides text.", "Take it out.")])
    try:
        _refuse_references(text, source)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or "cannot be read as YAML"
        raise ManifestError(source, [Issue("", mark.line + 1 if mark else 0, f"{what}.", _YAML_FIX)]) from None
    if node is None:
        raise ManifestError(source, [Issue("", 0, "is empty.", "Make one with flask connectors new.")])
    reader = _Reader(source)
    return reader.value(node, "", 0), reader.lines


def _refuse_references(text: str, source: str) -> None:
    depth, values = 0, 0
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        line = token.start_mark.line + 1
        if isinstance(token, yaml.AliasToken | yaml.AnchorToken):
            raise ManifestError(source, [Issue("", line, "uses an anchor or alias.", "Write the value out.")])
        if isinstance(token, yaml.TagToken):
            raise ManifestError(source, [Issue("", line, "uses a tag (!).", "Take it away.")])
        if isinstance(token, yaml.DirectiveToken | yaml.DocumentStartToken | yaml.DocumentEndToken):
            raise ManifestError(source, [Issue("", line, "is more than one plain document.", "Take --- and % away.")])
        opens = yaml.BlockMappingStartToken | yaml.BlockSequenceStartToken | yaml.FlowMappingStartToken
        depth += isinstance(token, opens | yaml.FlowSequenceStartToken)
        depth -= isinstance(token, yaml.BlockEndToken | yaml.FlowMappingEndToken | yaml.FlowSequenceEndToken)
        # Counted here as well, so that a text with very many is not read to its end.
        values += isinstance(token, yaml.ScalarToken) - isinstance(token, yaml.KeyToken)
        if values > MAX_NODES:
            raise ManifestError(source, [Issue("", line, f"holds more than {MAX_NODES} values.", "Shorten it.")])
        if depth > MAX_DEPTH:
            raise ManifestError(source, [Issue("", line, f"is nested deeper than {MAX_DEPTH}.", "Flatten it.")])


class _Reader:
    def __init__(self, source: str) -> None:
        self.source = source
        self.lines: dict[str, int] = {}
        self.nodes = 0

    def value(self, node: yaml.Node, path: str, depth: int) -> Any:
        line = node.start_mark.line + 1
        self.lines[path] = line
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise ManifestError(self.source, [Issue(path, line, f"holds more than {MAX_NODES} values.", "Shorten it.")])
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, f"{path}.{n}".strip("."), depth + 1) for n, item in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        return self._scalar(node, path, line)

    def _mapping(self, node: yaml.MappingNode, path: str, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode) or key_node.value == "<<":
                raise ManifestError(
                    self.source, [Issue(path, line, "has a key that is not a plain text.", "Write each key as a word.")]
                )
            key = self._text(key_node, path, line)
            if key in result:
                raise ManifestError(self.source, [Issue(path, line, f"has {key} twice.", "Keep one of the two.")])
            result[key] = self.value(value_node, f"{path}.{key}".strip("."), depth + 1)
            # A value that begins below its key is found by the key.
            self.lines[f"{path}.{key}".strip(".")] = line
        return result

    def _text(self, node: yaml.ScalarNode, path: str, line: int) -> str:
        # Once more, because "\\u202e" between quotes is written with plain letters.
        if _HIDDEN.search(node.value):
            raise ManifestError(
                self.source, [Issue(path, line, "holds a control character that hides text.", "Take it out.")]
            )
        return str(node.value)

    def _scalar(self, node: yaml.ScalarNode, path: str, line: int) -> Any:
        text = self._text(node, path, line)
        if node.style is not None:
            return text
        if text in ("true", "false"):
            return text == "true"
        if text == "":
            return None
        if _INT.match(text):
            return int(text)
        if _FLOAT.match(text):
            return float(text)
        if _AMBIGUOUS.match(text):
            raise ManifestError(
                self.source, [Issue(path, line, f"{text} can be read in two ways.", f'Write "{text}" if it is a text.')]
            )
        return text
