"""Makes a wording look as if a person in a hurry had typed it.

Every function draws from the random generator it is given, so a seed fixes the result.
"""

import re

NEIGHBOURS = {
    "a": "qsz", "b": "vgn", "c": "xdv", "d": "sfe", "e": "wrd", "f": "dgr", "g": "fht", "h": "gju",
    "i": "uok", "j": "hki", "k": "jlo", "l": "kop", "m": "nj", "n": "bmh", "o": "ipl", "p": "ol",
    "q": "wa", "r": "etf", "s": "adw", "t": "ryg", "u": "yij", "v": "cbf", "w": "qes", "x": "zcs",
    "y": "tuh", "z": "xa",
}

# What people write before and after the question itself.
PREFIXES = [
    "please, ", "please ", "ok, ", "hi, ", "hi! ", "hello, ", "hey, ", "and ", "so ", "a question: ", "question: ",
    "sorry, ", "one more thing: ", "excuse me, ", "quick question: ", "quick question, ", "hi there, ", "ok so ",
    "well, ", "now, ", "um, ", "just wondering, ", "I was wondering, ", "thanks. ", "ok thanks. ", "ok and ",
    "could you tell me: ", "can you tell me: ", "I would like to know: ", "I want to know: ", "my boss asks: ",
    "a colleague asks: ", "I am new here. ", "I'm new to this. ", "newbie question: ", "dumb question: ", "good morning, ",
    "Good morning. ", "Hello! ", "Hi. ", "for our setup: ", "need help: ", "help! ", "urgent: ", "hmm, ", "another question: ",
    "next question: ", "also, ", "also ", "then ", "but ", "in portcullis, ", "in Portcullis: ", "with the gateway: ",
    "I read the docs but I am still not sure: ", "we are setting up the gateway. ", "Sorry to bother you. ",
    "I have been trying for an hour now and I still do not know: ", "Could you be so kind as to tell me: ",
    "I would be grateful if you could help me with this: ", "My manager wants to know this before the meeting: ",
    "One of our customers would like to know: ", "maybe a silly question, but ", "perhaps you can help me: ",
    "I have searched everywhere: ", "we had a discussion in the team about this: ", "for a presentation I need to know: ",
    "before we go live: ", "it is my first day with this. ", "I could not find this anywhere: ", "Let me ask you something. ",
    "ok, let me put it differently: ", "hey quick one - ", "right, so ", "oh and ", "by the way, ", "btw ", "alright then, ",
    "If I may ask, ", "Dear assistant, ", "hello again, ", "hi, me again. ", "sorry if this was asked before, ", "tell me, ",
    "do you happen to know ", "any chance you know ", "no idea what I am doing here. ", "we run portcullis in production. ",
    "we have portcullis on a vm. ", "as an administrator: ", "I'm a developer, not an admin. ", "from a security point of view, ",
]
SUFFIXES = [
    " thanks", " please", " thank you", ", please", ", thanks!", " thx", " I am new here.", " It is urgent.", "!", "??", "...",
    " in portcullis", " in Portcullis?", " with portcullis", " here", " exactly", " actually", " again", " pls", " plz",
    " I could not find it.", " I cannot find it in the docs.", " Any idea?", " any ideas?", " can you help?", " Can you help me?",
    " in this gateway", " with this gateway", " for the gateway", " then", " right now", " I'm stuck.", " Thank you in advance.",
    " because our security team asks for it", " before I go to production", " and I have no idea where to look", " if I may ask",
    " by the way", " or not", " or is that not possible", " today", " at all", " in general", " for my team", " in our company",
    " in short", " briefly", " in simple words", " step by step", " for a beginner", " asap", " kind regards", " I am a bit lost.",
    " Sorry for the basic question.", " I'd appreciate your help.", ", can you tell me?", ", do you know?", ", any hint?", ", right?",
]
NAMES = (
    "Ada Ben Clara David Eva Finn Grace Hugo Ines Jan Kira Leo Mara Nils Olga Paul Rosa Sam Tara Uwe Vera Will Anna Tom Max "
    "Sarah Ali Fatima Wei Ming Yuki Hana Carlos Lucia Mateo Sofia Ivan Olena Raj Anil Deepa Omar Layla Kofi Ama Chloe Louis "
    "Emma Noah Mia Lars Sven Astrid Piotr Zofia Marek Jana Luca Giulia Peter Julia Mike Bob Alice Jim Kate Steve Laura"
).split()
SYLLABLES = "ba ko ri ta mel on da vi su ne gra lo pi shan ek or ul tem ya zo pri ni jo mar kel fa li sa ram dev ki".split()
GREETINGS = [
    "Hi, I am {n}. ", "Hello, this is {n}. ", "hi, i'm {n}, ", "My name is {n}. ", "{n} here. ", "{n} here: ", "Hey, {n} here, ",
    "hello my name is {n}, ", "I'm {n} from operations. ", "Good morning, I am {n} and I have a question: ", "Hi! {n} here. ",
    "hi this is {n} from the platform team, ", "I am {n}, and new in the team. ",
]
DROPPABLE = {"the", "a", "an", "please", "just", "really", "to", "of", "is", "are", "do", "does", "my", "our", "for", "that", "it", "in", "on"}


def name(rng):
    """A first name: a known one, or one made of syllables so that any name will do."""
    if rng.random() < 0.5:
        return rng.choice(NAMES)
    return "".join(rng.choice(SYLLABLES) for _ in range(rng.randint(2, 3))).capitalize()


def typo(rng, text):
    """One slip of the fingers inside a word: a letter swapped, lost, doubled or the neighbouring one."""
    places = [i for i in range(1, len(text)) if text[i].isalpha() and text[i - 1].isalpha()]
    if not places:
        return text
    i = rng.choice(places)
    kind = rng.randrange(4)
    if kind == 0:
        return text[: i - 1] + text[i] + text[i - 1] + text[i + 1 :]
    if kind == 1:
        return text[:i] + text[i + 1 :]
    if kind == 2:
        return text[:i] + text[i] + text[i:]
    near = NEIGHBOURS.get(text[i].lower())
    return text[:i] + rng.choice(near) + text[i + 1 :] if near else text


def synonyms(rng, text, groups):
    """Replaces a word or two by words of the same group, where the text has some."""
    lowered = text.lower()
    found = [(word, group) for word, group in groups.items() if word in lowered]
    rng.shuffle(found)
    for word, group in found[: rng.randint(1, 2)]:
        pattern = re.compile(r"(?<![\w.:/_-])" + re.escape(word) + r"(?![\w/_-]|\.\w)", re.IGNORECASE)
        text = pattern.sub(lambda _, g=group: rng.choice(g), text, count=1)
    return text


def drop_words(rng, text):
    """Leaves out small words, and now and then one that matters."""
    words = text.split(" ")
    if len(words) < 5:
        return text
    kept = [w for w in words if not (w.lower() in DROPPABLE and rng.random() < 0.5)]
    if len(kept) > 6 and rng.random() < 0.3:
        kept.pop(rng.randrange(len(kept)))
    return " ".join(kept) if len(kept) >= 3 else text


def disturb(rng, text, groups):
    """A wording with the noise of real life, or none."""
    if rng.random() < 0.3:
        return text
    if rng.random() < 0.35:
        text = synonyms(rng, text, groups)
    if rng.random() < 0.12:
        text = drop_words(rng, text)
    draw = rng.random()
    if draw < 0.14:
        text = rng.choice(PREFIXES) + text
    elif draw < 0.19:
        text = rng.choice(GREETINGS).format(n=name(rng)) + text
    if rng.random() < 0.10:
        text = text.rstrip("?.! ") + rng.choice(SUFFIXES)
    draw = rng.random()
    if draw < 0.2:
        text = text.rstrip("?.!")
    elif draw < 0.35 and text[-1:].isalnum():
        text += "."
    if rng.random() < 0.25 and len(text) > 4:
        text = typo(rng, text)
        if len(text) > 25 and rng.random() < 0.5:
            text = typo(rng, text)
    return text
