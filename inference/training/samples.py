"""Draws training conversations from the knowledge and the wordings.

A conversation is a list of `(question, answer)` pairs. All chance comes from one seeded generator.
"""

import json
import random
import re
from pathlib import Path

import noise

HERE = Path(__file__).parent
WORDINGS = HERE / "wordings"

SYLLABLES = "ba ko ri ta mel on da vi su ne gra lo pi shan ek or ul tem ya zo blu fri qua xi wob zen tro mip".split()


def lines(path):
    """The lines of a wordings file without comments and blank ones."""
    text = path.read_text(encoding="utf-8")
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def sections(path):
    """A file of `[name]` headings with lines below each, as a dictionary."""
    found, current = {}, None
    for line in lines(path):
        if line.startswith("[") and line.endswith("]"):
            current = found.setdefault(line[1:-1], [])
        elif current is None:
            raise ValueError(f"{path.name}: a line stands before the first heading: {line}")
        else:
            current.append(line)
    return found


class Samples:
    """Everything that a conversation can be made of."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        knowledge = json.loads((HERE / "knowledge.json").read_text(encoding="utf-8"))
        self.intents = {intent["id"]: intent for intent in knowledge}
        self.questions = {name: [] for name in self.intents}
        for path in sorted((WORDINGS / "questions").glob("*.txt")):
            for name, found in sections(path).items():
                self.questions[name] += found  # an id that nobody knows fails here
        self.patterns = lines(WORDINGS / "patterns.txt")
        self.comparison_patterns = lines(WORDINGS / "comparison_patterns.txt")
        self.follow_ups = self._follow_ups()
        self.later = {}
        for earlier, later, asked in self.follow_ups:
            self.later.setdefault(earlier, []).append((later, asked))
        self.families = {}
        for line in lines(WORDINGS / "families.txt"):
            for name in line.split():
                self.families[name] = [other for other in line.split() if other != name]
        self.off = sections(WORDINGS / "off_topic.txt")
        self.groups = {}
        for line in lines(WORDINGS / "synonyms.txt"):
            word, *others = (word.strip() for word in line.split(","))
            self.groups[word.lower()] = others
        self.topics = [i["id"] for i in knowledge if i["kind"] in ("topic", "comparison")]
        self.small_talk = [i["id"] for i in knowledge if i["kind"] == "small_talk"]

    def _follow_ups(self):
        """Lines `earlier > later: wording | wording` as (earlier, later, wordings)."""
        found = []
        for line in lines(WORDINGS / "follow_ups.txt"):
            ids, wordings = line.split(":", 1)
            earlier, later = (part.strip() for part in ids.split(">"))
            for name in [later, *earlier.split(",")]:
                if name.strip() not in self.intents:
                    raise ValueError(f"follow_ups.txt: unknown intent {name}")
            found += [(e.strip(), later, [w.strip() for w in wordings.split("|")]) for e in earlier.split(",")]
        return found

    # === single questions ===

    def _pattern(self, intent):
        """A question made of a pattern and one of the intent's aliases."""
        alias = self.rng.choice(intent["aliases"])
        parts = re.split(r" and ", alias)
        if intent["kind"] == "comparison" and len(parts) == 2 and self.rng.random() < 0.92:
            if self.rng.random() < 0.4:
                parts.reverse()
            return self.rng.choice(self.comparison_patterns).format(a=parts[0], b=parts[1])
        if self.rng.random() < 0.15 and alias.startswith(("the ", "a ", "an ")):
            alias = alias.split(" ", 1)[1]
        return self.rng.choice(self.patterns).format(t=alias)

    def _about(self, name):
        """A clean question for a topic, a comparison or small talk."""
        intent = self.intents[name]
        written = self.questions[name]
        if intent["kind"] == "small_talk":
            return self.rng.choice(written + intent["aliases"])
        if written and self.rng.random() < (0.5 if intent["kind"] == "comparison" else 0.82):
            return self.rng.choice(written)
        return self._pattern(intent)

    def _word(self):
        """A word that does not exist, so that no single word makes a question one of ours."""
        return "".join(self.rng.choice(SYLLABLES) for _ in range(self.rng.randint(1, 4)))

    def _off_topic(self):
        """A question about anything else in the world."""

        def pick(section):
            return self.rng.choice(self.off[section])

        draw = self.rng.random()
        if draw < 0.50:
            return self.rng.choice(self.off["sentences"] + self.questions["off_topic"])
        if draw < 0.57:
            return pick("near misses")
        if draw < 0.64:
            question = pick("our words elsewhere").replace("{w}", pick("our words"))
            return question.replace("{x}", pick("everyday subjects")).replace("{y}", pick("everyday subjects"))
        if draw < 0.70:
            return pick("other products").replace("{f}", pick("features")).replace("{p}", pick("products"))
        if draw < 0.74:
            return pick("code").replace("{l}", pick("languages")).replace("{t}", pick("programming"))
        subject = pick("subjects") if self.rng.random() < 0.8 else self._word()
        if draw < 0.79:
            return self.rng.choice(self.patterns).format(t=subject)
        if draw < 0.82:
            return self.rng.choice(self.comparison_patterns).format(a=subject, b=pick("subjects"))
        if draw < 0.84:
            return " ".join(self._word() for _ in range(self.rng.randint(1, 5)))
        if draw < 0.87:
            a, b = self.rng.randint(1, 999), self.rng.randint(1, 99)
            sign = self.rng.choice(["+", "-", "*", "/", " plus ", " times ", " minus ", " x ", " divided by "])
            return self.rng.choice(["what is {}?", "{}", "calculate {}", "{}=?", "how much is {}?", "compute {}"]).format(f"{a}{sign}{b}")
        return pick("patterns").replace("{x}", subject).replace("{y}", pick("subjects"))

    def pair(self):
        """One question with its answer."""
        draw = self.rng.random()
        if draw < 0.255:
            name, question = "off_topic", self._off_topic()
        elif draw < 0.275:
            name = "unknown_about_portcullis"
            question = self.rng.choice(self.questions[name]) if self.rng.random() < 0.8 else self._pattern(self.intents[name])
        elif draw < 0.385:
            name = self.rng.choice(self.small_talk)
            question = self._about(name)
            if name == "greeting" and self.rng.random() < 0.3:
                question = self.rng.choice(["hi {n}", "hello {n}!", "Hey {n}", "good morning {n}"]).format(n=noise.name(self.rng))
            if name == "my_name" and self.rng.random() < 0.8:
                question = self.rng.choice(self.off["introductions"]).format(n=noise.name(self.rng))
        else:
            name = self.rng.choice(self.topics)
            question = self._about(name)
        return noise.disturb(self.rng, question, self.groups), self.intents[name]["answer"]

    # === conversations ===

    def conversation(self, several=0.25):
        """Some turns; `several` is the chance of more than one."""
        rng = self.rng
        if rng.random() >= several:
            return [self.pair()]
        if rng.random() < 0.65:
            return self._follow_up_turns()
        return [self.pair() for _ in range(rng.choice([2, 2, 2, 2, 3, 3, 5]))]

    def _turn(self, wording, name):
        """A turn made of a clean wording and the intent that it asks for."""
        return noise.disturb(self.rng, wording, self.groups), self.intents[name]["answer"]

    def _follow_up_turns(self):
        """A question and one that makes sense only after its answer, sometimes with more around them."""
        rng = self.rng
        earlier, later, wordings = rng.choice(self.follow_ups)
        asked = earlier
        if rng.random() < 0.2:
            # The other members of a family lead to the same follow-up, except to the member that it asks for.
            asked = rng.choice([n for n in self.families.get(earlier, []) if n != later] or [earlier])
        turns = [self.pair()] if rng.random() < 0.12 else []
        turns += [self._turn(self._about(asked), asked), self._turn(rng.choice(wordings), later)]
        if rng.random() < 0.25 and later in self.later:
            later, wordings = rng.choice(self.later[later])
            turns.append(self._turn(rng.choice(wordings), later))
        return turns
