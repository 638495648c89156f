"""Known mistakes, one at a time, in a copy of the tree: the tests of src/admit must notice each.

Each is an exact text of one file and what replaces it; a text that is not found exactly once fails the run, so that the list
follows the code.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
LEDGER = "src/admit/ledger.rs"
ENTRY = "src/admit/ledger/entry.rs"
LEASE = "src/admit/ledger/lease.rs"
LATE = "src/admit/ledger/late.rs"
OUTBOX = "src/admit/ledger/outbox.rs"
NODE = "src/admit/node.rs"
COUNTER = "src/admit/counter.rs"
LIMIT = "src/admit/limit.rs"
WALLET = "src/admit/wallet.rs"

# What is wrong; file; text; what it becomes.
MUTANTS = [
    ("a limit lets one more through", NODE,
     "taken.saturating_add(amount) <= limit;", "taken.saturating_add(amount) <= limit.saturating_add(1);"),
    ("what is held is not taken", COUNTER,
     "self.used.saturating_add(self.held).saturating_add(self.leased)", "self.used.saturating_add(self.leased)"),
    ("what is leased is not taken", COUNTER,
     "self.used.saturating_add(self.held).saturating_add(self.leased)", "self.used.saturating_add(self.held)"),
    ("a slot ends one millisecond early", COUNTER,
     "slot.end <= now.0) {", "slot.end <= now.0 + 1) {"),
    ("a rolling slot counts no longer than its window", LIMIT,
     "(start, start.saturating_add(slot).saturating_add(*ms))", "(start, start.saturating_add(*ms))"),
    ("a report that comes twice counts twice", LEASE,
     "if report.seq > lease.seq {", "if report.seq >= lease.seq {"),
    ("a report's number is not remembered", LEASE,
     "                lease.seq = report.seq;\n", ""),
    ("what was given back stays booked as granted", LEASE,
     "self.granted.minus(self.returned).minus(self.used).minus(self.begun).max(Amounts::ZERO)",
     "self.granted.minus(self.used).minus(self.begun).max(Amounts::ZERO)"),
    ("what was given back is booked twice as free", LEASE,
     "self.granted.minus(self.returned).minus(self.used)", "self.granted.minus(self.returned).minus(self.returned).minus(self.used)"),
    ("what is under way from a lease is still outstanding", LEASE,
     ".minus(self.used).minus(self.begun).max(", ".minus(self.used).max("),
    ("a grant is not booked", LEASE,
     "        self.book(&lease.chain, &lease.models, granted);\n", ""),
    ("a renewal is not booked", LEASE,
     "        self.book(&chain, &models, delta);\n        self.expiries.remove(&(old_end", "        self.expiries.remove(&(old_end"),
    ("a lease that ends is not charged", LEASE,
     "            cost: rest.money,\n", "            cost: NanoUsd::ZERO,\n"),
    ("a closed lease frees nothing", LEASE,
     "        self.book(&lease.chain, &lease.models, Amounts::ZERO.minus(lease.outstanding()));\n", ""),
    ("of requests grouped in a row, one loses its cost", LEASE,
     "cost: together.iter().fold(", "cost: together.iter().skip(usize::from(together.len() > 1)).fold("),
    ("of requests grouped in a row, one loses its row", LEASE,
     "Entry::settled(joined(together.iter().map(", "Entry::settled(joined(together.iter().take(together.len().max(2) - 1).map("),
    ("of requests grouped in a row, only one is counted", LEASE,
     "count: i64::try_from(together.len()).unwrap_or(i64::MAX),", "count: 1,"),
    ("a late report lowers the charge by too much", LEASE,
     "covered.min(charged) };", "covered.plus(covered).min(charged) };"),
    ("a late report raises the charge", LEASE,
     "cost: NanoUsd::ZERO.minus(less),", "cost: less,"),
    ("leases may take all that is free", LEASE,
     "(free / SHARE).min(leasable.saturating_sub(counter.leased).max(0))", "free"),
    ("leases may take more than is free", LEASE,
     "(free / SHARE).min(leasable.saturating_sub(counter.leased).max(0))", "limit"),
    ("a blocked key's lease is renewed", LEASE,
     "if moved || self.must_ask(now, &chain, &models) {", "if moved {"),
    ("a hold is released at its bound, not at what it held", ENTRY,
     "held: Amounts::ZERO.minus(self.held()),", "held: Amounts::ZERO.minus(self.spent()),"),
    ("a settled request stays held", LEDGER,
     "let Some((number, mut entry)) = self.holds.remove(&ticket) else { return Vec::new() };",
     "let Some((number, mut entry)) = self.holds.get(&ticket).cloned() else { return Vec::new() };"),
    ("a hold that expires is not charged", LEDGER,
     "(entry.cost, entry.used, entry.used_input) = (entry.bound, entry.tokens, entry.input);", ""),
    ("the row of a hold is not written", LEDGER,
     "        let writes = vec![write(number, false, &entry)];", "        let writes = vec![];"),
    ("the row of a settlement is not written", LEDGER,
     "        let mut writes = vec![write(number, true, entry)];", "        let mut writes = vec![];"),
    ("leases that changed are not written", LEDGER,
     "            writes.extend(self.leases.get(&id).and_then(Lease::write));\n", ""),
    ("a settlement does not leave the rest to its lease", LEDGER,
     "        end.leased = self.give_back_to_lease(entry);\n", ""),
    ("an extension holds all of it again", LEDGER,
     "let more = asked.minus(held).max(Amounts::ZERO);", "let more = asked;"),
    ("what is drained does not enter the base", OUTBOX,
     "                    node.base.change(entry.counted(*number), &entry.charge(), zones);\n", ""),
    ("a late settlement is corrected the wrong way", LATE,
     "cost: cost.minus(late.charged),", "cost: late.charged.minus(cost),"),
    ("a late settlement counts twice", LATE,
     "let Some(late) = self.late.remove(&ticket) else", "let Some(late) = self.late.get(&ticket).cloned() else"),
    ("the wallet forgets what it holds", WALLET,
     "self.granted.minus(self.returned).minus(self.used).minus(self.held)", "self.granted.minus(self.returned).minus(self.used)"),
    ("the wallet forgets what it has used", WALLET,
     "        self.used = self.used.plus(used);\n", ""),
    ("the wallet forgets what it gave back", WALLET,
     "self.granted.minus(self.returned).minus(self.used).minus(self.held)", "self.granted.minus(self.used).minus(self.held)"),
    ("a lease is counted from the receipt of the answer", WALLET,
     "self.usable_until = sent_at.plus_ms(", "self.usable_until = now.plus_ms("),
    ("a lease is used after its end", WALLET,
     "!self.closing && now < self.usable_until", "!self.closing"),
    ("a closed lease is admitted from", WALLET,
     "!self.closing && now < self.usable_until", "now < self.usable_until"),
    ("a report that did not arrive is forgotten", WALLET,
     "Some(_) | None => sent.waiting = false,", "Some(_) | None => purse.sent = None,"),
    ("settlements of a lease that is gone are forgotten", WALLET,
     "        self.orphans.extend(purse.ended.into_iter().map(|(_, settlement)| (customer.clone(), settlement)));\n",
     "        let _ = (purse.ended, customer);\n"),
    ("a repeated answer grants again", WALLET,
     "self.granted = self.granted.max(terms.granted);", "self.granted = self.granted.plus(terms.granted);"),
    ("what is admitted counts from before it was", WALLET,
     "self.offset_ms = terms.at.since_ms(sent_at);", "self.offset_ms = terms.at.since_ms(now);"),
    ("an answer that nobody hears is waited for", WALLET,
     "!sent.waiting || now.since_ms(sent.last) >= ANSWER_MS", "!sent.waiting"),
    ("the answer to an earlier report counts", WALLET,
     "is_some_and(older)) {", "is_some_and(|_| false)) {"),
    ("a lease that was sent twice counts from the second time", WALLET,
     "if sent.doubtful { sent.first } else { sent.last }", "sent.last"),
    ("a second lease is forgotten", WALLET,
     "            return self.decline(now, asked, &terms.id);\n", "            return;\n"),
    ("a keeper that leaves is believed to stay", WALLET,
     "(self.keeper_seen, self.keeper_leaving) = (None, true);", "self.keeper_seen = None;"),
    ("a renewal for few requests brings nothing", LEASE,
     "            self.slice(now, &chain, &models, want.max(Amounts::ZERO))\n        };",
     "            let more = self.slice(now, &chain, &models, want.max(Amounts::ZERO));\n            if more.requests < 2 { Amounts::ZERO } else { more }\n        };"),
]


def put_table(rows):
    path = ROOT / "docs/simulation.md"
    before, rest = path.read_text(encoding="utf-8").split("<!-- mutants: begin -->\n", 1)
    after = rest.split("<!-- mutants: end -->", 1)[1]
    table = "| mistake | in | noticed by |\n|---|---|---|\n" + "".join(
        f"| {what} | `{file}` | {by} |\n" for what, file, by in rows
    )
    path.write_text(f"{before}<!-- mutants: begin -->\n\n{table}\n<!-- mutants: end -->{after}", encoding="utf-8")


def main():
    wanted = sys.argv[1:]
    chosen = [one for one in MUTANTS if not wanted or any(word in one[0] for word in wanted)]
    originals = {}
    for what, file, text, _ in MUTANTS:
        originals.setdefault(file, (ROOT / file).read_text(encoding="utf-8"))
        if originals[file].count(text) != 1:
            sys.exit(f"mutants: {what}: {file} has this text {originals[file].count(text)} times, not once:\n{text}")
    survivors, rows = [], []
    with tempfile.TemporaryDirectory(prefix="edgehold-mutants-") as folder:
        tree = pathlib.Path(folder)
        for name in ("src", "examples", "tests", "migrations", "proptest-regressions", "docs", "scripts"):
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, tree / name)
        for pattern in ("Cargo.*", "*.toml", "*.yaml", "*.md"):
            for file in ROOT.glob(pattern):
                shutil.copy2(file, tree / file.name)
        # Its own folder inside the target: what was built for the real tree stays valid.
        environment = dict(
            os.environ, CARGO_TARGET_DIR=str(ROOT / "target/mutants"), RUST_BACKTRACE="0", PROPTEST_MAX_SHRINK_ITERS="0"
        )
        command = ["cargo", "test", "--quiet", "--offline", "--lib", "admit::"]

        def run():
            return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, timeout=900)

        print("mutants: the tests pass without a mistake …", flush=True)
        clean = run()
        if clean.returncode != 0:
            sys.exit(f"mutants: they do not:\n{clean.stdout}{clean.stderr}")
        for what, file, text, becomes in chosen:
            (tree / file).write_text(originals[file].replace(text, becomes), encoding="utf-8")
            done = run()
            (tree / file).write_text(originals[file], encoding="utf-8")
            output = done.stdout + done.stderr
            failed = sorted(set(re.findall(r"^    admit::(?:\w+::)*(\w+)$", output, re.MULTILINE)))
            if done.returncode == 0:
                survivors.append(what)
                print(f"mutants: SURVIVES: {what}", flush=True)
            elif not failed:
                sys.exit(f"mutants: {what}: does not compile, or no test ran:\n{output[-3000:]}")
            else:
                print(f"mutants: noticed: {what}: {', '.join(failed)}", flush=True)
                more = f" and {len(failed) - 2} more" if len(failed) > 2 else ""
                rows.append((what, file, ", ".join(f"`{name}`" for name in failed[:2]) + more))
    if survivors:
        sys.exit(f"mutants: {len(survivors)} of {len(chosen)} survive: {'; '.join(survivors)}")
    print(f"mutants: all {len(chosen)} are noticed")
    if not wanted:
        put_table(rows)


main()
