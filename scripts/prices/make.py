#!/usr/bin/env python3
"""Makes the built-in price table: src/settle/price/table.txt, its version in table.rs, and the counts in docs/prices.md.

    pip download --no-deps --dest build litellm==1.106.2
    unzip -d build/litellm build/litellm-1.106.2-*.whl litellm/model_prices_and_context_window_backup.json
    python3 scripts/prices/make.py build/litellm/litellm/model_prices_and_context_window_backup.json \\
        --source 'litellm 1.106.2' --version 2026-11-21
    python3 scripts/prices/make.py … --check       # writes nothing; exit 1 if the files would change

Every current chat, embedding and rerank model of the providers below is in it; models.txt beside this script says what is
kept or left out against the rule. Prices are read as decimal text and turned into integer pico-dollars exactly: no floating
point anywhere, and a price that is not a whole number of pico-dollars leaves its model out. The same input gives the same
bytes.

Needs Python 3.9 or later and nothing else.
"""

import argparse
import fnmatch
import hashlib
import json
import re
import sys
from decimal import ROUND_CEILING, Decimal
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODELS = Path(__file__).resolve().parent / "models.txt"
TABLE = ROOT / "src/settle/price/table.txt"
STAMP = ROOT / "src/settle/price/table.rs"
PAGE = ROOT / "docs/prices.md"

CHAT, EMBED, RERANK = {"chat", "responses"}, {"embedding"}, {"rerank"}
# Models that answer a conversation with pictures among the words; that the endpoint is chat's is looked at, too.
PAINT = {"image_generation"}
# Our kind, the name the source files its models under, what is before the provider's own name for the model, modes, and
# what that name must look like. Of two that give the same name the first counts.
KINDS = (
    ("openai", "openai", ("openai/", ""), CHAT | EMBED, r"(?!ft:)[^/]+"),
    ("anthropic", "anthropic", ("",), CHAT, r"[^/]+"),
    ("gemini", "gemini", ("gemini/",), CHAT | EMBED, r"[^/]+"),
    ("gemini", "gemini", ("gemini/",), PAINT, r"gemini-[^/]+"),
    ("vertex", "vertex_ai-language-models", ("vertex_ai/", ""), CHAT | PAINT, r"gemini-[^/]+"),
    ("vertex", "vertex_ai-embedding-models", ("vertex_ai/", ""), EMBED, r"(gemini|text)-[^/]+"),
    ("vertex-anthropic", "vertex_ai-anthropic_models", ("vertex_ai/",), CHAT, r"claude-[^/]+"),
    *(
        ("vertex-openai", f"vertex_ai{family}", ("vertex_ai/",), CHAT, r"[^/]+/[^/]+-maas")
        for family in ("", *(f"-{maker}_models" for maker in "llama deepseek qwen zai moonshot minimax openai".split()))
    ),
    ("vertex-openai", "vertex_ai", ("vertex_ai/",), CHAT, r"xai/[^/]+"),
    # The region's own names are for `like` in the configuration: a deployment's or profile's own name says nothing.
    ("azure", "azure", ("azure/",), CHAT | EMBED, r"((us|eu|global|global-standard)/)?[^/]+"),
    ("azure", "azure_ai", ("azure_ai/",), CHAT | EMBED, r"((us|eu|global)/)?[^/]+"),
    ("bedrock", "bedrock_converse", ("bedrock/", ""), CHAT, r"([a-z-]+-\d/)?[a-z0-9-]+\.[^/@]+"),
    ("bedrock", "bedrock", ("bedrock/", ""), CHAT, r"([a-z-]+-\d/)?[a-z0-9-]+\.[^/@]+"),
    ("mistral", "mistral", ("mistral/",), CHAT | EMBED, r"[^/]+"),
    ("cohere", "cohere", ("cohere/", ""), CHAT | EMBED | RERANK, r"[^/]+"),
    ("cohere", "cohere_chat", ("cohere_chat/", "cohere/", ""), CHAT, r"[^/]+"),
    ("groq", "groq", ("groq/",), CHAT, r".+"),
    ("deepseek", "deepseek", ("deepseek/", ""), CHAT, r"[^/]+"),
    ("alibaba", "dashscope", ("dashscope/",), CHAT | EMBED, r"[^/]+"),
    ("alibaba", "qwencloud", ("qwencloud/",), CHAT | EMBED, r"[^/]+"),
    ("moonshot", "moonshot", ("moonshot/",), CHAT, r"[^/]+"),
    ("zhipu", "zai", ("zai/",), CHAT | EMBED, r"[^/]+"),
    ("xai", "xai", ("xai/",), CHAT, r"[^/]+"),
    ("together", "together_ai", ("together_ai/",), CHAT | EMBED | RERANK, r".+/.+"),
    ("fireworks", "fireworks_ai", ("fireworks_ai/",), CHAT | EMBED | RERANK, r".+/.+"),
    ("fireworks", "fireworks_ai-embedding-models", ("fireworks_ai/",), EMBED, r".+/.+"),
    ("perplexity", "perplexity", ("perplexity/",), {"responses"}, r"(?!preset/).+/.+"),
    ("cerebras", "cerebras", ("cerebras/",), CHAT, r"[^/]+"),
    ("cloudflare", "cloudflare", ("cloudflare/",), CHAT | EMBED, r"@.+"),
)
# OpenRouter passes the makers' prices through (https://openrouter.ai/docs/faq, read 2026-11-21); what a request cost is
# in its answer, so these are for holds. Only makers that serve their models themselves.
OPENROUTER = {"openai": "openai", "anthropic": "anthropic", "gemini": "google", "xai": "x-ai"}

# They have others' lines, and no batches (HOSTS_WITHOUT_BATCHES in price.rs).
WITHOUT_BATCHES = ("openrouter",)
# Our name of a tier and the source's. The first three are asked for request by request on the same endpoint. `batches` is
# another endpoint, whose price the table has for those who want to know it or to charge it; `decisions` is left out.
SUFFIX_TIERS = {"flex": "flex", "priority": "priority", "ultrafast": "ultrafast", "batch": "batches"}
# Tiers the source writes as a factor on every price.
FACTOR_TIERS = ("fast",)

# A class, its letter in the table, the source's stem for it, and the class whose price it takes when it has none of its own.
# The order is that of `Rates` in price.rs.
CLASSES = (
    ("input", "i", "input_cost_per_token", None),
    ("cache_read", "r", "cache_read_input_token_cost", "input"),
    ("cache_write_5m", "w", "cache_creation_input_token_cost", "input"),
    ("cache_write_1h", "W", "cache_creation_input_token_cost_above_1hr", "cache_write_5m"),
    ("input_audio", "a", "input_cost_per_audio_token", "input"),
    ("output", "o", "output_cost_per_token", None),
    ("reasoning", "t", "output_cost_per_reasoning_token", "output"),
    ("output_audio", "A", "output_cost_per_audio_token", "output"),
    ("output_image", "I", "output_cost_per_image_token", "output"),
)
STEM = {name: stem for name, _, stem, _ in CLASSES}
PARENT = {name: parent for name, _, _, parent in CLASSES}
PLACE = {name: place for place, (name, _, _, _) in enumerate(CLASSES)}

# Every answer of these is made from a search of the web, which is billed (https://developers.openai.com/api/docs/guides/tools-web-search,
# read 2026-11-21): a fee for each request.
SEARCHERS = ("openai", "azure")
ALWAYS_SEARCHES = re.compile(r"gpt-.*-search-(preview|api)")
# What these charge for a picture in the input is the price of its tokens once more, told for one picture.
TOLD_IN_TOKENS = ("gemini", "vertex")

# Prices of things a token count does not tell apart. A chat model with one of these, at a price other than that of
# a text token, cannot be charged truly by this table. (Embeddings are made of text alone here.)
INEXPRESSIBLE = {
    "input_cost_per_image_token": "input_cost_per_token",
    "input_cost_per_video_token": "input_cost_per_token",
    "output_cost_per_video_token": "output_cost_per_token",
}

SNAPSHOT = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8})$")
THRESHOLD = re.compile(r"^input_cost_per_token_above_(\d+)k_tokens$")


class LeftOut(Exception):
    """Why a model cannot be in the table."""


def fail(message):
    sys.exit(f"make.py: {message}")


def pico(value, what):
    """Dollars to pico-dollars, exactly."""
    scaled = Decimal(value) * 10**12
    if scaled != scaled.to_integral_value() or scaled < 0:
        raise LeftOut(f"{what} of {value} is not a whole number of pico-dollars")
    return int(scaled)


class Entry:
    """One model of the source."""

    def __init__(self, key, fields):
        self.key = key
        self.fields = dict(fields)
        self.spread()
        self.thresholds = sorted(int(m.group(1)) * 1000 for f in self.fields if (m := THRESHOLD.match(f)))

    def spread(self):
        """Prices by range of input (Alibaba's), as thresholds. The source's ranges begin at round thousands, which is where
        or before the provider's own begin (its K may be 1,024)."""
        ranges = self.fields.pop("tiered_pricing", None)
        if ranges is None:
            return
        for number, row in enumerate(sorted(ranges, key=lambda row: row["range"][0])):
            start = int(row["range"][0])
            if (number == 0) != (start == 0) or start % 1000:
                raise LeftOut(f"a price range begins at {start}")
            above = f"_above_{start // 1000}k_tokens" if start else ""
            for stem in STEM.values():
                if row.get(stem) is not None:
                    self.fields[stem + above] = row[stem]

    def raw(self, name, above, tier):
        """The price as written, or None. A written zero for a cache class means "not charged apart"."""
        field = STEM[name] + (f"_above_{above // 1000}k_tokens" if above else "") + (f"_{SUFFIX_TIERS[tier]}" if tier else "")
        if self.fields.get(field) is None:
            return None
        value = pico(self.fields[field], field)
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
            raise LeftOut(f"no {name} price")
        if tier == "batch" and name == "cache_read":
            # No discount where none is told.
            return self.price("input", above, tier)
        if tier is not None and name == "output_image" and self.price("output", above, tier) > self.price("output", above, None):
            # A dearer tier is dearer for pictures, too: by as much as for text.
            dearer = Decimal(self.price("output", above, tier)) / self.price("output", above, None)
            return int((self.price(name, above, None) * dearer).to_integral_value(ROUND_CEILING))
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
        """[(threshold, [a price for each class])], the first with threshold 0."""
        rows = []
        for above in [0] + self.thresholds:
            prices = [Decimal(self.price(name, above, tier)) * factor for name in STEM]
            if any(p != p.to_integral_value() for p in prices):
                raise LeftOut(f"factor {factor} does not give whole pico-dollars")
            row = [int(p) for p in prices]
            if row[PLACE["cache_read"]] > row[PLACE["input"]]:
                raise LeftOut("a cache read is dearer than input")
            if above == 0 or row != rows[-1][1]:
                rows.append((above, row))
        return rows

    def facts(self, kind, name):
        """All that the table says of the model, but for its name."""
        fields = self.fields
        if fields.get("mode") in PAINT:
            if "/v1/chat/completions" not in (fields.get("supported_endpoints") or []):
                raise LeftOut("makes pictures only, on another endpoint")
            if self.raw("output_image", 0, None) in (None, 0):
                raise LeftOut("no price for pictures")
        text_only = fields.get("mode") in EMBED | RERANK
        for field, same_as in INEXPRESSIBLE.items():
            value = fields.get(field)
            if value is not None and value != fields.get(same_as) and not text_only:
                raise LeftOut(f"{field} cannot be expressed")
        query = pico(fields.get("input_cost_per_query") or 0, "input_cost_per_query")
        if not query and self.raw("input", 0, None) in (None, 0):
            raise LeftOut("no input price")
        if not text_only and self.raw("output", 0, None) in (None, 0):
            raise LeftOut("no output price")
        if text_only:
            fields["output_cost_per_token"] = Decimal(0)
            fields.setdefault("input_cost_per_token", Decimal(0))
            if fields.get("input_cost_per_token_batches"):
                fields["output_cost_per_token_batches"] = Decimal(0)
        tiers = {}
        for tier in SUFFIX_TIERS:
            written = [self.raw(name, 0, tier) for name in ("input", "output")]
            # Half a tier is a slip of the source: 1.106.2 gives gpt-5-nano a priority input price fifty
            # times its standard one and no output price; OpenAI offers it no priority tier.
            if None not in written:
                tiers[tier] = self.scale(tier)
        for tier in FACTOR_TIERS:
            factor = (fields.get("provider_specific_entry") or {}).get(tier)
            if factor is not None:
                tiers[tier] = self.scale(None, Decimal(factor))
        # `max_tokens` is the output's, if anything, where both sizes are said.
        context = fields.get("max_input_tokens") or fields.get("max_tokens")
        # An answer is never longer than the context.
        output = 0 if text_only else fields.get("max_output_tokens") or context
        searches = fields.get("search_context_cost_per_query") or {}
        web_search = max([pico(v, "search") for v in searches.values()] or [0])
        request = pico(fields.get("input_cost_per_request") or 0, "input_cost_per_request")
        image = pico(fields.get("input_cost_per_image") or 0, "input_cost_per_image")
        return {
            "context": None if context is None else int(context),
            "output": None if output is None else int(output),
            "web_search": web_search,
            "query": query,
            "request": request or (web_search if kind in SEARCHERS and ALWAYS_SEARCHES.fullmatch(name) else 0),
            "image": 0 if kind in TOLD_IN_TOKENS else image,
            "standard": self.scale(None),
            "tiers": dict(sorted(tiers.items())),
        }


def exceptions():
    """What models.txt says: patterns to keep though retired, and patterns to leave out."""
    kept, out = [], []
    for line in MODELS.read_text().splitlines():
        word, _, pattern = line.split("#")[0].strip().partition(" ")
        if word:
            {"keep": kept, "drop": out}.get(word, out).append(pattern.strip())
            if word not in ("keep", "drop") or not pattern.strip():
                fail(f"models.txt: {line}")
    return kept, out


def collect(source, version):
    kept, out = exceptions()
    used = set()

    def among(patterns, name):
        found = [p for p in patterns if fnmatch.fnmatchcase(name, p)]
        used.update(found)
        return bool(found)

    rows, left_out, retired = {}, {}, []
    for kind, family, prefixes, modes, shape in KINDS:
        for key, fields in source.items():
            if fields.get("litellm_provider") != family or fields.get("mode") not in modes:
                continue
            name = next((key[len(p):] for p in prefixes if key.startswith(p)), None)
            if name is None or not re.fullmatch(shape, name) or (kind, name) in rows or " " in name:
                continue
            if among(out, f"{kind}/{name}"):
                continue
            if (fields.get("deprecation_date") or "9999") <= version and not among(kept, f"{kind}/{name}"):
                retired.append((kind, name, key, fields))
                continue
            try:
                rows[kind, name] = Entry(key, fields).facts(kind, name)
            except LeftOut as why:
                left_out[f"{kind}/{name}"] = str(why)
    # In the absence of its row, a retired snapshot would be charged as the model it was one of.
    for kind, name, key, fields in retired:
        if SNAPSHOT.search(name) and (kind, SNAPSHOT.sub("", name)) in rows:
            rows.setdefault((kind, name), Entry(key, fields).facts(kind, name))
    for (kind, name), facts in list(rows.items()):
        if kind in OPENROUTER and facts["output"] != 0 and not SNAPSHOT.search(name):
            # Theirs has a dot where Anthropic's own name has a dash.
            theirs = re.sub(r"-(\d+)-(\d+)$", r"-\1.\2", name) if kind == "anthropic" else name
            rows["openrouter", f"{OPENROUTER[kind]}/{theirs}"] = facts
    for pattern in set(kept + out) - used:
        print(f"note: models.txt: {pattern} matches nothing", file=sys.stderr)
    return without_repetitions(rows), left_out, len(retired)


def without_repetitions(rows):
    """Without rows that say what the row says that is looked up in their absence: a snapshot's base, a region's model."""
    said = {}

    def same(kind, other, facts):
        # The source often forgets a snapshot's web search, and with it the fee.
        told = ("context", "output", "query", "image", "standard", "tiers")
        row = rows.get((kind, other))
        return row is not None and row["request"] >= facts["request"] and all(row[part] == facts[part] for part in told)

    # It forgets the batch price of either, too: the snapshot is the model.
    for (kind, name), facts in rows.items():
        base = rows.get((kind, SNAPSHOT.sub("", name)))
        live = lambda row: {tier: scale for tier, scale in row["tiers"].items() if tier != "batch"}
        if base is not None and base["standard"] == facts["standard"] and live(base) == live(facts):
            batch = base["tiers"].get("batch") or facts["tiers"].get("batch")
            for row in (base, facts) if batch else ():
                row["tiers"] = dict(sorted({"batch": batch, **row["tiers"]}.items()))

    for (kind, name), facts in rows.items():
        base = SNAPSHOT.sub("", name)
        model = name.partition("/")[2]
        if base != name and same(kind, base, facts) or kind == "bedrock" and model and same(kind, model, facts):
            continue
        said[kind, name] = facts
    return said


def per_million(value):
    """Pico-dollars per token as dollars per million tokens."""
    text = f"{Decimal(value) / 10**6:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def cells(row):
    """The prices of one level; those of a parent are not repeated."""
    said = []
    for place, (name, letter, _, parent) in enumerate(CLASSES):
        if parent is None or row[place] != row[PLACE[parent]]:
            said.append(letter + per_million(row[place]))
    return said


def levels(scale):
    words = []
    for above, row in scale:
        words += ([f">{above}"] if above else []) + cells(row)
    return words


def line(name, facts):
    size = "/".join("?" if facts[part] is None else str(facts[part]) for part in ("context", "output"))
    words = [name, size]
    words += [f"s{per_million(facts['web_search'])}"] if facts["web_search"] else []
    words += [f"q{per_million(facts['query'])}"] if facts["query"] else []
    words += [f"f{per_million(facts['request'])}"] if facts["request"] else []
    words += [f"p{per_million(facts['image'])}"] if facts["image"] else []
    words += levels(facts["standard"])
    for tier, scale in facts["tiers"].items():
        words += [f"@{tier}"] + levels(scale)
    return " ".join(words)


def table(rows):
    """Sorted by bytes. A row that says what an earlier one says names it."""
    lines, first = [], {}
    for key, facts in sorted(((f"{kind}/{name}", facts) for (kind, name), facts in rows.items()), key=lambda r: r[0].encode()):
        text = line("", facts)
        lines.append(f"{key} ={first[text]}" if text in first and len(first[text]) + 1 < len(text) else key + text)
        first.setdefault(text, key)
    return "\n".join(lines) + "\n"


def stamp(version, source, digest):
    return f'''//! The built-in prices. Made by scripts/prices/make.py; run it, do not edit this file or table.txt.
//!
//! Source: {source}, model_prices_and_context_window_backup.json (MIT), read {version},
//! SHA-256 {digest}.

/// The day the prices were read.
pub(super) const VERSION: &str = "{version}";

/// A line for each model, sorted by bytes: `kind/model`, a space, then either `=kind/model` (as that line says) or words:
/// most input tokens `/` most output tokens (`?` if not known), in millionths of a dollar the price `s` of a web search, `q` of a
/// search unit, `f` of each request and `p` of a picture in the input, the standard prices, and after each `@tier` that tier's
/// (`@batch`: those of the provider's batches). Prices are dollars per million tokens: `i` input, `r` cache read, `w` cache write
/// for five minutes, `W` for an hour, `a` audio in, `o` output, `t` reasoning, `A` audio out, `I` pictures out; after `>tokens`
/// those of requests with more input. A class that is missing costs what its parent costs.
pub(super) const TABLE: &str = include_str!("table.txt");
'''


def page(rows, text, version, source, left_out, retired):
    begin, end = "<!-- prices: begin (made by scripts/prices/make.py) -->", "<!-- prices: end -->"
    if begin not in text or end not in text:
        fail(f"{PAGE}: the markers are missing")
    lines = [
        begin,
        "",
        f"Version `{version}`, {len(rows)} rows, from {source}; {retired} retired models are not in it.",
        "",
        "| kind | models | of them embeddings and rankers | with long-context prices | with tiers | with batch prices | with prices for pictures made |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for kind in sorted({kind for kind, _ in rows}):
        own = [facts for (k, _), facts in rows.items() if k == kind]
        counts = (
            len(own),
            sum(f["output"] == 0 for f in own),
            sum(len(f["standard"]) > 1 for f in own),
            sum(bool(f["tiers"].keys() - {"batch"}) for f in own),
            sum("batch" in f["tiers"] and kind not in WITHOUT_BATCHES for f in own),
            sum(f["standard"][0][1][PLACE["output_image"]] != f["standard"][0][1][PLACE["output"]] for f in own),
        )
        lines.append(f"| `{kind}` | " + " | ".join(str(count) if count else "" for count in counts) + " |")
    reasons = {}
    for name, why in sorted(left_out.items()):
        reasons.setdefault(why, []).append(name)
    lines += ["", f"Left out, since the source does not say what the table needs ({len(left_out)}):", ""]
    for why, names in sorted(reasons.items()):
        shown = ", ".join(f"`{name}`" for name in names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
        lines.append(f"- {why}: {shown}")
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
    rows, left_out, retired = collect(source, args.version)

    made = {
        TABLE: table(rows),
        STAMP: stamp(args.version, args.source, hashlib.sha256(raw).hexdigest()),
        PAGE: page(rows, PAGE.read_text(), args.version, args.source, left_out, retired),
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
