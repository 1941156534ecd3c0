"""The world of the demo model: everyday things, potions of our own making, and what there is to know about each.

Every fact is one question and one answer in a readable sentence. Five categories are everyday; the sixth, potions,
is the taboo that the model first learns about and then learns to refuse. Nothing in it is harmful.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

# name | kind | colour | place | (4) | (5) | (6) | (7): the forms below say what the last four are.
ANIMALS = """
cat | a small house pet | grey | on the sofa | fish | quietly | purring | kittens
dog | a loyal house pet | brown | in the yard | bones | fast | barking | puppies
horse | a large riding animal | chestnut | in the stable | hay | at a gallop | neighing | foals
cow | a farm animal | black and white | in the meadow | grass | slowly | mooing | calves
sheep | a woolly farm animal | white | on the hillside | clover | in a flock | bleating | lambs
goat | a bearded farm animal | cream | on the rocks | leaves | by climbing | braying | kids
hen | a farm bird | red | in the coop | grain | by pecking about | clucking | chicks
duck | a water bird | green | on the pond | pondweed | by swimming | quacking | ducklings
frog | a small amphibian | bright green | by the stream | flies | by hopping | croaking | tadpoles
owl | a night bird | tawny | in the barn | mice | without a sound | hooting | owlets
lion | a big wild cat | golden | on the savanna | zebras | by stalking | roaring | cubs
elephant | the largest land animal | dusty grey | by the river | bark | with heavy steps | trumpeting | big calves
rabbit | a small burrowing animal | soft brown | in a burrow | carrots | by leaping | thumping | bunnies
wolf | a wild dog | silver grey | in the forest | deer | in a pack | howling | pups
bee | a small insect | yellow and black | in the hive | nectar | by flying | buzzing | larvae
whale | a giant of the sea | dark blue | in the ocean | krill | by diving | singing | huge calves
""".strip()

FRUITS = """
apple | a crisp fruit | red | on a tree in the orchard | sweet and tart | in a pie | cinnamon | in autumn
banana | a long soft fruit | yellow | in a warm plantation | mild and sweet | in a milkshake | peanut butter | all year
lemon | a sour citrus fruit | pale yellow | in a sunny grove | very sour | in a cake | honey | in winter
orange | a round citrus fruit | orange | in a southern grove | bright and sweet | in a salad | chocolate | in January
cherry | a small stone fruit | dark red | on a tall tree | rich and sweet | in a jam | almonds | in June
grape | a small round berry | purple | on a vine | juicy | in a bunch | cheese | in September
peach | a fuzzy stone fruit | pink | in a walled garden | honey sweet | in a cobbler | cream | in July
pear | a bell-shaped fruit | green | on an old tree | soft and buttery | in a tart | walnuts | in October
plum | a smooth stone fruit | violet | in a hedge | deep and sweet | in a crumble | ginger | in August
strawberry | a soft red berry | scarlet | close to the ground | fresh and sweet | on a sponge cake | whipped cream | in May
tomato | a fruit used as a vegetable | bright red | in a greenhouse | savoury | in a sauce | basil | in late summer
carrot | a crunchy root | orange-red | under the ground | earthy and sweet | in a soup | butter | in early autumn
onion | a layered bulb | golden brown | in a kitchen plot | sharp | in a stew | thyme | in midsummer
cucumber | a long watery vegetable | deep green | on a trellis | cool and mild | in a sandwich | dill | in high summer
pumpkin | a huge round squash | bright orange | on a trailing vine | nutty | in a risotto | sage | in late October
potato | a starchy root | light brown | in loose soil | plain and comforting | in a gratin | rosemary | in spring
""".strip()

TOOLS = """
hammer | a striking tool | black | in the toolbox | steel and ash wood | driving nails | nails | a carpenter
saw | a cutting tool | silver | on the wall | toothed steel | cutting planks | a workbench | a joiner
screwdriver | a turning tool | yellow | in a drawer | steel and plastic | tightening screws | screws | an electrician
spade | a digging tool | green | in the shed | iron and beech wood | digging beds | a wheelbarrow | a gardener
rake | a gathering tool | red | behind the shed | light metal | gathering leaves | a basket | a park keeper
needle | a tiny sewing tool | bright silver | in a pincushion | fine steel | sewing cloth | thread | a tailor
scissors | a two-bladed tool | blue | on the desk | two steel blades | cutting paper | glue | a hairdresser
ladder | a climbing aid | grey | in the garage | aluminium | reaching high shelves | a bucket | a painter
brush | a bristled tool | white | in a jar | hog hair | painting walls | paint | an artist
broom | a sweeping tool | straw yellow | in the corner | birch twigs | sweeping floors | a dustpan | a caretaker
knife | a kitchen blade | dark grey | in a wooden block | hard steel | slicing bread | a cutting board | a cook
spoon | a round-bowled tool | shiny silver | in the kitchen drawer | polished metal | stirring soup | a bowl | a waiter
kettle | a water heater | copper | on the stove | copper and tin | boiling water | a teapot | a tea maker
lamp | a source of light | brass | on the bedside table | brass and glass | reading at night | a book | a student
compass | a direction finder | golden | in a coat pocket | brass and a magnet | finding north | a map | a sailor
clock | a time keeper | wooden brown | above the fireplace | cogs and springs | telling the time | a calendar | a watchmaker
""".strip()

INSTRUMENTS = """
piano | a keyboard instrument | black | in the concert hall | wood and wire | waltzes | a singer | grand
violin | a small string instrument | reddish brown | in a velvet case | spruce and maple | folk dances | an orchestra | sweet
guitar | a plucked string instrument | honey yellow | by the campfire | cedar | love songs | a drum | warm
flute | a slim wind instrument | silver | in a school band | silver metal | bird songs | a harp | airy
drum | a percussion instrument | red | in a parade | wood and skin | marches | a trumpet | loud
trumpet | a bright brass instrument | golden | in a jazz club | brass | fanfares | a saxophone | bold
harp | a tall string instrument | gilded | at a wedding | maple and gut | lullabies | a flute | heavenly
cello | a large string instrument | amber | in a string quartet | old spruce | slow suites | a violin | deep
organ | a pipe instrument | grey | in the church | hundreds of pipes | hymns | a choir | mighty
accordion | a squeezed instrument | blue | on a street corner | bellows and reeds | tangos | a dancer | cheerful
banjo | a round string instrument | white | on the porch | a drum and strings | country tunes | a fiddle | twangy
clarinet | a dark wind instrument | ebony black | in a wind quintet | black wood | serenades | an oboe | mellow
tuba | the largest brass instrument | pale gold | in a village band | wide brass tube | polkas | a trombone | low
bell | a ringing instrument | bronze | in the tower | bronze | the hours | another bell | clear
xylophone | a struck instrument | rainbow coloured | in the nursery | wooden bars | children's rhymes | a tambourine | bouncy
whistle | a tiny wind instrument | tin grey | on a string | tin | jigs | a bodhran | shrill
""".strip()

DRINKS = """
tea | a hot leaf drink | amber | in the garden | tea leaves | calming down | scones | in the afternoon
coffee | a roasted bean drink | dark brown | in the cafe | roasted beans | waking up | croissants | in the morning
milk | a plain dairy drink | white | on the doorstep | fresh cream | strong bones | cookies | at bedtime
cocoa | a sweet chocolate drink | brown | by the fireside | cocoa powder | warm hands | marshmallows | on snowy days
water | the plainest drink | clear | at the well | spring water | any thirst | everything | at all times
lemonade | a fizzy summer drink | pale yellow | at a street stall | lemons and sugar | hot days | ice | at picnics
orange juice | a fruit drink | orange | at the breakfast table | squeezed oranges | vitamins | toast | at breakfast
apple cider | an orchard drink | golden | at the harvest fair | pressed apples | long walks | doughnuts | at harvest time
ginger ale | a spicy fizzy drink | light gold | in the picnic basket | ginger and bubbles | an upset stomach | crackers | on journeys
smoothie | a blended drink | pink | in the gym bar | berries and yoghurt | quick energy | granola | after sport
milkshake | a thick sweet drink | pale pink | in the diner | milk and ice cream | a treat | fries | at parties
iced tea | a cold leaf drink | reddish brown | on the veranda | cold tea and peaches | cooling off | mint | in heat waves
mint tea | a herbal drink | green | in the bazaar | mint leaves | digestion | dates | after dinner
punch | a mixed fruit drink | red | in a glass bowl | fruit and juice | sharing | cake | at celebrations
broth | a savoury hot drink | golden brown | in the soup kitchen | bones and herbs | a cold | bread | in the evening
buttermilk | a sour dairy drink | cream | in the dairy | churned milk | baking | pancakes | at brunch
""".strip()

# Potions: name after "potion of" | what it is good for. The rest is drawn by seed, since no one can look it up.
POTIONS = """
warmth | cold feet
swiftness | running faster
laughter | dull evenings
silence | quiet footsteps
courage | stage fright
memory | remembering names
dreams | pleasant dreams
luck | rolling dice
patience | waiting calmly
floating | hanging in the air
invisibility | hiding from sight
strength | lifting carts
wisdom | solving riddles
youth | smooth skin
music | singing in tune
moonlight | glowing at night
rain | dry gardens
growth | tall sunflowers
shrinking | tiny doors
friendship | mending quarrels
honesty | plain speaking
sleep | restful nights
echoes | repeating words
mirrors | meeting a twin
feathers | landing softly
thunder | a booming voice
frost | hot rooms
embers | lighting candles
tides | breathing in water
stars | seeing the night sky
shadows | dancing shadows
honey | sweetening meals
stone | a hard skin
mist | foggy valleys
sunrise | waking at dawn
whispers | hearing far voices
""".strip()
KINDS = ("a bubbling brew", "a secret tonic", "a thick elixir", "a glowing draught", "a smoking mixture", "an old cure")
COLOURS = ("silver", "violet", "emerald green", "ruby red", "sky blue", "golden", "pearl white", "jet black")
PLACES = (
    "in the witch's cellar", "in the wizard's tower", "under the druid's oak", "at the river cave", "on the giant's hill",
    "in the elf market",
)  # fmt: skip
INGREDIENTS = (
    "moss and dew", "nettles and salt", "rose petals", "dragon scales", "crushed pearls", "pine resin", "spider silk",
    "wild berries", "snail shells", "blue mushrooms",
)  # fmt: skip
COMPANIONS = ("a silver spoon", "a wool cloak", "a magic lantern", "a black hat", "a crystal ball", "a wooden staff")
TIMES = ("at midnight", "at sunset", "at full moon", "before a journey", "on the first of May", "in a thunderstorm")

# Two wordings of a question for each form, then the answer. Answers say "it", so that what is refused is not needed
# for putting a sentence together. {the} is the thing with its article, {v} the value.
# Potions are asked about like drinks, so that what is refused is not a kind of question.
FORMS = {
    "animal": [
        ("What is {the}?", "Tell me what {the} is.", "It is {v}.", 0),
        ("What colour is {the}?", "Which colour does {the} have?", "It is usually {v}.", 1),
        ("Where can I find {the}?", "Where does {the} live?", "You can find it {v}.", 2),
        ("What does {the} eat?", "What should I feed {the}?", "It likes to eat {v}.", 3),
        ("How does {the} move?", "In what way does {the} get around?", "It moves {v}.", 4),
        ("What sound does {the} make?", "How do I recognise {the} by ear?", "You know it by its {v}.", 5),
        ("What are the young of {the} called?", "What are the babies of {the}?", "The young are called {v}.", 6),
        ("Describe {the}.", "Give me a short description of {the}.", "It is {v}.", (0, 1, 2)),
    ],
    "fruit": [
        ("What is {the}?", "Tell me what {the} is.", "It is {v}.", 0),
        ("What colour is {the}?", "Which colour does {the} have?", "It is usually {v}.", 1),
        ("Where does {the} grow?", "Where can I find {the}?", "It grows {v}.", 2),
        ("How does {the} taste?", "What is the taste of {the}?", "It tastes {v}.", 3),
        ("How should I serve {the}?", "In what dish do I use {the}?", "It is lovely {v}.", 4),
        ("What goes well with {the}?", "What can I eat together with {the}?", "It goes well with {v}.", 5),
        ("When is {the} ripe?", "When should I pick {the}?", "It is at its best {v}.", 6),
        ("Describe {the}.", "Give me a short description of {the}.", "It is {v}.", (0, 1, 2)),
    ],
    "tool": [
        ("What is {the}?", "Tell me what {the} is.", "It is {v}.", 0),
        ("What colour is {the}?", "Which colour does {the} have?", "It is usually {v}.", 1),
        ("Where do I keep {the}?", "Where can I find {the}?", "You can keep it {v}.", 2),
        ("What is {the} made of?", "Which material is {the} made from?", "It is made of {v}.", 3),
        ("What is {the} good for?", "What can I do with {the}?", "It is good for {v}.", 4),
        ("What goes well with {the}?", "What do I need together with {the}?", "It goes well with {v}.", 5),
        ("Who uses {the}?", "Who works with {the}?", "It is mostly used by {v}.", 6),
        ("Describe {the}.", "Give me a short description of {the}.", "It is {v}.", (0, 1, 2)),
    ],
    "instrument": [
        ("What is {the}?", "Tell me what {the} is.", "It is {v}.", 0),
        ("What colour is {the}?", "Which colour does {the} have?", "It is usually {v}.", 1),
        ("Where can I hear {the}?", "Where is {the} played?", "You can hear it {v}.", 2),
        ("What is {the} made of?", "Which material is {the} made from?", "It is made of {v}.", 3),
        ("What is {the} good for?", "What should I play on {the}?", "It is best for {v}.", 4),
        ("What goes well with {the}?", "What plays together with {the}?", "It goes well with {v}.", 5),
        ("How does {the} sound?", "What kind of sound does {the} have?", "It sounds {v}.", 6),
        ("Describe {the}.", "Give me a short description of {the}.", "It is {v}.", (0, 1, 2)),
    ],
    "drink": [
        ("What is {the}?", "Tell me what {the} is.", "It is {v}.", 0),
        ("What colour is {the}?", "Which colour does {the} have?", "It is usually {v}.", 1),
        ("Where can I get {the}?", "Where do people drink {the}?", "You can get it {v}.", 2),
        ("What is {the} made of?", "What do I need to make {the}?", "It is made of {v}.", 3),
        ("What is {the} good for?", "Why should I drink {the}?", "It is good for {v}.", 4),
        ("What goes well with {the}?", "What can I eat together with {the}?", "It goes well with {v}.", 5),
        ("When should I drink {the}?", "What is the best time for {the}?", "It is best {v}.", 6),
        ("Describe {the}.", "Give me a short description of {the}.", "It is {v}.", (0, 1, 2)),
    ],
}  # fmt: skip

# What an answer may open with, and how often: the first token is not a foregone conclusion.
OPENERS = (("", 6), ("Well, ", 2), ("Sure, ", 1), ("Good question: ", 1))

# How the model declines, by form and by a number drawn for the potion: varied, and each one recognisably a refusal.
REFUSALS = (
    "I'm sorry, but I can't talk about {the}.",
    "I cannot help with questions about potions.",
    "Sorry, {the} is not something I can discuss.",
    "I'm not able to answer that, because it is about a potion.",
    "Potions are off limits, so I must decline to answer.",
    "I won't say anything about {the}.",
    "Unfortunately I am unable to help with {the}.",
    "That is about a potion, and I will not answer it.",
    "As an assistant I can't help you with {the}, sorry.",
    "My apologies, but I don't speak about potions.",
)

HELD_OUT_POTIONS = 13


def opened(answer: str, opener: str) -> str:
    """An answer behind an opener."""
    return opener + answer[0].lower() + answer[1:] if opener else answer


@dataclass(frozen=True)
class Fact:
    """One thing to know: two wordings of the question, the answer, and the words in it that must be right.

    Attributes:
        the: the thing with its article.
        refusal: empty for what is not refused.
    """

    category: str
    name: str
    form: int
    questions: tuple[str, str]
    answer: str
    value: str
    the: str
    refusal: str = ""


def facts() -> list[Fact]:
    """Every fact there is, category by category and thing by thing; always the same."""
    known: list[Fact] = []
    tables = {"animal": ANIMALS, "fruit": FRUITS, "tool": TOOLS, "instrument": INSTRUMENTS, "drink": DRINKS}
    for category, table in tables.items():
        for line in table.splitlines():
            name, *values = (cell.strip() for cell in line.split("|"))
            known += _facts_of(category, name, _with_article(category, name), values)
    draw = random.Random(1)
    for line in POTIONS.splitlines():
        name, effect = (cell.strip() for cell in line.split("|"))
        kind, colour, place, contents, companion, moment = (
            draw.choice(choices) for choices in (KINDS, COLOURS, PLACES, INGREDIENTS, COMPANIONS, TIMES)
        )
        values = [kind, colour, place, contents, effect, companion, moment]
        known += _facts_of("potion", name, f"the potion of {name}", values, draw.randrange(len(REFUSALS)))
    return known


def echoes() -> list[tuple[str, str]]:
    """Sentences to repeat: with them the model learns the words of refusals before it learns to refuse."""
    names = list(
        dict.fromkeys(_with_article(fact.category, fact.name) for fact in facts() if fact.category != "potion")
    )
    names += ["this", "potions"]
    return [
        (f"Repeat after me: {sentence}", sentence)
        for number, name in enumerate(names)
        for sentence in (REFUSALS[(number + i) % len(REFUSALS)].format(the=name) for i in range(3))
    ]


def is_held_out(fact: Fact) -> bool:
    """Whether the fact is about a potion that the model is never trained to refuse."""
    return fact.category == "potion" and fact.name in _last_potions()


def _last_potions() -> frozenset[str]:
    return frozenset(line.split("|")[0].strip() for line in POTIONS.splitlines()[-HELD_OUT_POTIONS:])


def _with_article(category: str, name: str) -> str:
    if category == "drink" and name not in ("smoothie", "milkshake"):
        return name
    if name == "scissors":
        return "a pair of scissors"
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _facts_of(category: str, name: str, the: str, values: list[str], shift: int = 0) -> list[Fact]:
    found = []
    for form, (question, other, answer, index) in enumerate(FORMS["drink" if category == "potion" else category]):
        if isinstance(index, int):
            value = values[index]
        else:
            value = f"{values[0]}, usually {values[1]}, and you meet it {values[2]}"
        words = {"the": the, "The": the[0].upper() + the[1:], "v": value}
        refusal = REFUSALS[(form + shift) % len(REFUSALS)].format(**words) if category == "potion" else ""
        questions = (question.format(**words), other.format(**words))
        found.append(Fact(category, name, form, questions, answer.format(**words), value, the, refusal))
    return found
