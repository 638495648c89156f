#!/usr/bin/env python3
"""Makes the built-in price table: src/settle/price/table.rs, and the list in docs/prices.md.

    pip download --no-deps --dest build litellm==1.106.2
    unzip -d build/litellm build/litellm-1.106.2-*.whl litellm/model_prices_and_context_window_backup.json
    python3 scripts/prices/make.py build/litellm/litellm/model_prices_and_context_window_backup.json \\
        --source 'litellm 1.106.2' --version 2026-11-21
    python3 scripts/prices/make.py … --check       # writes nothing; exit 1 if the files would change

Which models are in the table is said in models.txt beside this script. Prices are read as decimal text and
turned into integer pico-dollars exactly: no floating point anywhere, and a price that is not a whole number
of pico-dollars stops the script. The same input gives the same bytes.

Needs Python 3.9 or later and nothing else.
"""

import argparse
import hashlib
import json
import re
import sys
from decimal import Decimal
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODELS = Path(__file__).resolve().parent / "models.txt"
TABLE = ROOT / "src/settle/price/table.rs"
PAGE = ROOT / "docs/prices.md"

# Our provider name → the names the source may file its models under.
FAMILIES = {
    "openai": {"openai"},
    "anthropic": {"anthropic"},
    "gemini": {"gemini"},
    "mistral": {"mistral"},
    "deepseek": {"deepseek"},
    "groq": {"groq"},
    "xai": {"xai"},
    "cohere": {"cohere", "cohere_chat"},
}

# Service tiers that are asked for request by request on the same endpoint. `batches` and `decisions` are
# other endpoints.
SUFFIX_TIERS = ("flex", "priority", "ultrafast")
# Tiers the source writes as a factor on every price.
FACTOR_TIERS = ("fast",)

# A class, the source's stem for it, and the class whose price it takes when it has none of its own. The order
# is that of `rates()` in price.rs.
CLASSES = (
    ("input", "input_cost_per_token", None),
    ("cache_read", "cache_read_input_token_cost", "input"),
    ("cache_write_5m", "cache_creation_input_token_cost", "input"),
    ("cache_write_1h", "cache_creation_input_token_cost_above_1hr", "cache_write_5m"),
    ("input_audio", "input_cost_per_audio_token", "input"),
    ("output", "output_cost_per_token", None),
    ("reasoning", "output_cost_per_reasoning_token", "output"),
    ("output_audio", "output_cost_per_audio_token", "output"),
)
STEM = {name: stem for name, stem, _ in CLASSES}
PARENT = {name: parent for name, _, parent in CLASSES}

# Prices of things a token count does not tell apart. A model with one of these, at a price other than that of
# a text token, cannot be charged truly by this table.
INEXPRESSIBLE = {
    "input_cost_per_image_token": "input_cost_per_token",
    "input_cost_per_video_token": "input_cost_per_token",
    "output_cost_per_image_token": "output_cost_per_token",
    "output_cost_per_video_token": "output_cost_per_token",
    "tiered_pricing": None,
}

SNAPSHOT = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8})$")
THRESHOLD = re.compile(r"^input_cost_per_token_above_(\d+)k_tokens$")


def fail(message):
    sys.exit(f"make.py: {message}")


def pico(value, what):
    """Dollars to pico-dollars, exactly."""
    scaled = Decimal(value) * 10**12
    if scaled != scaled.to_integral_value() or scaled < 0:
        fail(f"{what}: {value} is not a whole number of pico-dollars")
    return int(scaled)


class Entry:
    """One model of the source."""

    def __init__(self, key, fields):
        self.key = key
        self.fields = fields
        self.thresholds = sorted(int(m.group(1)) * 1000 for f in fields if (m := THRESHOLD.match(f)))

    def raw(self, name, above, tier):
        """The price as written, or None. A written zero for a cache class means "not charged apart"."""
        field = STEM[name] + (f"_above_{above // 1000}k_tokens" if above else "") + (f"_{tier}" if tier else "")
        if self.fields.get(field) is None:
            return None
        value = pico(self.fields[field], f"{self.key}.{field}")
        return None if value == 0 and name.startswith("cache") else value

    def own(self, name):
        """Whether the class has a price of its own, rather than its parent's."""
        written = self.raw(name, 0, None)
        return written is not None and (PARENT[name] is None or written != self.price(PARENT[name], 0, None))

    def price(self, name, above, tier):
        """The price of a class: as written, or else the dearest of what it could be, so that a gap in the
        source never makes a charge too small."""
        written = self.raw(name, above, tier)
        parent = PARENT[name]
        if written is not None:
            return written
        if parent is not None and not self.own(name):
            return self.price(parent, above, tier)
        if above == 0 and tier is None:
            fail(f"{self.key}: no {name} price")
        if above == 0:
            candidates = [self.price(name, 0, None)]
            if parent is not None and self.price("input", 0, tier) > self.price("input", 0, None):
                candidates.append(self.price(parent, 0, tier))
        else:
            lower = max([0] + [t for t in self.thresholds if t < above])
            candidates = [self.price(name, lower, tier)]
            if tier is not None:
                candidates.append(self.price(name, above, None))
            elif parent is not None:
                candidates.append(self.price(parent, above, None))
        return max(candidates)

    def scale(self, tier, factor=Decimal(1)):
        """[(threshold, [eight prices])], the first with threshold 0."""
        rows = []
        for above in [0] + self.thresholds:
            prices = [Decimal(self.price(name, above, tier)) * factor for name, _, _ in CLASSES]
            if any(p != p.to_integral_value() for p in prices):
                fail(f"{self.key}: factor {factor} does not give whole pico-dollars")
            row = [int(p) for p in prices]
            if above == 0 or row != rows[-1][1]:
                rows.append((above, row))
        return rows

    def facts(self):
        """All that the table says of the model, but for its name."""
        for field, same_as in INEXPRESSIBLE.items():
            value = self.fields.get(field)
            if value is not None and (same_as is None or value != self.fields.get(same_as)):
                fail(f"{self.key}: {field} cannot be expressed; take the model out of models.txt")
        if self.raw("input", 0, None) in (None, 0):
            fail(f"{self.key}: no input price; take the model out of models.txt")
        fields = dict(self.fields)
        embedding = fields.get("mode") == "embedding"
        if embedding:
            self.fields.setdefault("output_cost_per_token", Decimal(0))
        tiers = {}
        for tier in SUFFIX_TIERS:
            written = [self.raw(name, 0, tier) for name in ("input", "output")]
            if None not in written:
                tiers[tier] = self.scale(tier)
            elif any(written):
                # Half a tier is a slip of the source: 1.106.2 gives gpt-5-nano a priority input price fifty
                # times its standard one and no output price; OpenAI offers it no priority tier.
                print(f"note: {self.key}: the {tier} tier lacks a price and is left out", file=sys.stderr)
        for tier in FACTOR_TIERS:
            factor = (fields.get("provider_specific_entry") or {}).get(tier)
            if factor is not None:
                tiers[tier] = self.scale(None, Decimal(factor))
        context = fields.get("max_input_tokens") or fields.get("max_tokens")
        if context is None:
            fail(f"{self.key}: no context size")
        # An answer is never longer than the context.
        output = Decimal(0) if embedding else fields.get("max_output_tokens") or context
        searches = fields.get("search_context_cost_per_query") or {}
        return {
            "context": int(context),
            "output": int(output),
            "web_search": max([pico(v, f"{self.key}.search") for v in searches.values()] or [0]),
            "standard": self.scale(None),
            "tiers": dict(sorted(tiers.items())),
            "retires": fields.get("deprecation_date"),
        }


def find(source, provider, model):
    for key in (f"{provider}/{model}", model):
        fields = source.get(key)
        if fields and fields.get("litellm_provider") in FAMILIES[provider]:
            return Entry(key, fields)
    return None


def collect(source):
    rows = {}
    for line in MODELS.read_text().splitlines():
        line = line.split("#")[0].strip()
        if not line:
            continue
        provider, _, model = line.partition("/")
        if provider not in FAMILIES or (provider, model) in rows:
            fail(f"models.txt: {line}: unknown provider or listed twice")
        entry = find(source, provider, model)
        if entry is None:
            fail(f"models.txt: {line} is not in the source")
        rows[provider, model] = entry.facts()
    for (provider, base), facts in list(rows.items()):
        for key, fields in source.items():
            name = key.removeprefix(f"{provider}/")
            match = SNAPSHOT.search(name)
            if not match or name[: match.start()] != base or (provider, name) in rows:
                continue
            entry = find(source, provider, name)
            if entry is None:
                continue
            snapshot = entry.facts()
            said = ("context", "output", "standard", "tiers")
            if any(snapshot[k] != facts[k] for k in said):
                rows[provider, name] = snapshot
    return dict(sorted(rows.items()))


def number(value):
    return f"{value:_}"


def rust_scale(scale, indent):
    def rates(row):
        return f"rates([{', '.join(map(number, row))}])"

    (_, base), above = scale[0], scale[1:]
    lines = [f"Scale {{", f"    base: {rates(base)},"]
    if above:
        lines += ["    above: &["]
        lines += [f"        ({number(tokens)}, {rates(row)})," for tokens, row in above]
        lines += ["    ],"]
    else:
        lines += ["    above: &[],"]
    lines += ["}"]
    return f"\n{indent}".join(lines)


def rust(rows, version, source, digest):
    out = [
        "//! The built-in prices. Made by scripts/prices/make.py; edit models.txt there and run it, not this file.",
        "//!",
        f"//! Source: {source}, model_prices_and_context_window_backup.json (MIT), read {version},",
        f"//! SHA-256 {digest}.",
        "//!",
        "//! `rates([input, cache_read, cache_write_5m, cache_write_1h, input_audio, output, reasoning, output_audio])`",
        "//! in pico-dollars per token: $1 per million tokens is 1_000_000.",
        "",
        "use super::{Model, Scale, rates};",
        "",
        "/// The day the prices were read.",
        f'pub(super) const VERSION: &str = "{version}";',
        "",
        "/// Sorted by provider, then name.",
        "#[rustfmt::skip]",
        "pub(super) static MODELS: &[Model] = &[",
    ]
    for (provider, name), facts in rows.items():
        out += [
            "    Model {",
            f'        provider: "{provider}",',
            f'        name: "{name}",',
            f"        context_tokens: {number(facts['context'])},",
            f"        output_tokens: {number(facts['output'])},",
            f"        web_search: {number(facts['web_search'])},",
            f"        standard: {rust_scale(facts['standard'], '        ')},",
        ]
        if facts["tiers"]:
            out += ["        tiers: &["]
            for tier, scale in facts["tiers"].items():
                out += [f'            ("{tier}", {rust_scale(scale, "            ")}),']
            out += ["        ],"]
        else:
            out += ["        tiers: &[],"]
        out += ["    },"]
    out += ["];", ""]
    return "\n".join(out)


def per_million(value):
    """Pico-dollars per token as dollars per million tokens."""
    text = f"{Decimal(value) / 10**6:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    whole, _, cents = text.partition(".")
    return f"{whole}.{cents:0<2}"


def page(rows, text, version, source):
    begin, end = "<!-- prices: begin (made by scripts/prices/make.py) -->", "<!-- prices: end -->"
    if begin not in text or end not in text:
        fail(f"{PAGE}: the markers are missing")
    lines = [
        begin,
        "",
        f"Version `{version}`, {len(rows)} rows, from {source}. Dollars per million tokens.",
        "",
        "| model | input | cache read | write 5 min / 1 h | output | audio in / out | above | tiers | context | answer |",
        "|---|--:|--:|--:|--:|--:|---|---|--:|--:|",
    ]
    for (provider, name), facts in rows.items():
        i, read, w5, w1, audio_in, o, _, audio_out = map(per_million, facts["standard"][0][1])
        write = "" if w5 == i and w1 == i else f"{w5} / {w1}"
        audio = "" if audio_in == i and audio_out == o else f"{audio_in} / {audio_out}"
        above = "; ".join(
            f"{tokens // 1000}k: {per_million(row[0])} / {per_million(row[5])}" for tokens, row in facts["standard"][1:]
        )
        lines.append(
            f"| `{provider}/{name}` | {i} | {'' if read == i else read} | {write} | {o} | {audio} | {above} "
            f"| {', '.join(facts['tiers'])} | {facts['context']:,} | {facts['output']:,} |"
        )
    head, rest = text.split(begin, 1)
    return head + "\n".join(lines + ["", end]) + rest.split(end, 1)[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("json", type=Path, help="the source's model_prices_and_context_window_backup.json")
    parser.add_argument("--source", required=True, help="what the JSON is, as in 'litellm 1.106.2'")
    parser.add_argument("--version", required=True, help="the day it was read, YYYY-MM-DD")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file would change")
    args = parser.parse_args()
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", args.version):
        fail("--version must be a day, YYYY-MM-DD")

    raw = args.json.read_bytes()
    source = json.loads(raw, parse_float=Decimal, parse_int=Decimal)
    rows = collect(source)
    for (provider, name), facts in rows.items():
        if facts["retires"] and facts["retires"] <= args.version:
            print(f"note: {provider}/{name} was to be retired on {facts['retires']}", file=sys.stderr)

    made = {
        TABLE: rust(rows, args.version, args.source, hashlib.sha256(raw).hexdigest()),
        PAGE: page(rows, PAGE.read_text(), args.version, args.source),
    }
    stale = [path for path, text in made.items() if not path.exists() or path.read_text() != text]
    if args.check:
        for path in stale:
            print(f"would change: {path.relative_to(ROOT)}", file=sys.stderr)
        sys.exit(1 if stale else 0)
    for path in stale:
        path.write_text(made[path])
        print(f"wrote {path.relative_to(ROOT)}")
    print(f"{len(rows)} rows")


if __name__ == "__main__":
    main()
