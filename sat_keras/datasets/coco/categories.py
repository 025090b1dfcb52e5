"""COCO's 80 categories, and the words that name them in captions.

A word names a category surely, or perhaps: "bag" is a handbag where the photo has one, and may be
anything where it has none. Some words hold the name of a category and mean another thing: a train
station is no train.
"""

from sat_keras.datasets.names import find_names, plurals
from sat_keras.tokenizer import tokenize

# A category: its supercategory, and what names it beside its own name. Plurals in s, es and ies
# are added to all names.
CATEGORIES = {
    "person": (
        "person",
        "people, man, men, woman, women, boy, girl, child, children, kid, toddler, infant, lady, "
        "gentleman, gentlemen, guy, teenager, teen, human, crowd, audience, spectator, onlooker, "
        "bystander, pedestrian, passenger, tourist, customer, shopper, worker, employee, vendor, "
        "officer, police officer, policeman, policemen, policewoman, cop, soldier, fireman, "
        "firemen, fire man, firefighter, fire fighter, farmer, fisherman, fishermen, businessman, "
        "businessmen, businesswoman, chef, baker, waiter, waitress, bartender, doctor, nurse, "
        "dentist, student, teacher, bride, groom, husband, wife, boyfriend, girlfriend, "
        "grandmother, grandfather, cowboy, cowgirl, photographer, cameraman, musician, dancer, "
        "player, ball player, tennis player, baseball player, soccer player, football player, "
        "basketball player, volleyball player, frisbee player, ballplayer, athlete, batter, "
        "catcher, umpire, referee, goalie, goalkeeper, hiker, climber, racer, golfer, runner, "
        "swimmer, skater, skateboarder, skate boarder, skier, ski instructor, snowboarder, "
        "snow boarder, surfer, windsurfer, wind surfer, kiteboarder, kite boarder, rider, "
        "cyclist, bicyclist, motorcyclist, biker, jockey, bus driver, truck driver, "
        "train conductor",
    ),
    "bicycle": ("vehicle", "mountain bike, bmx bike"),
    "car": (
        "vehicle",
        "automobile, suv, sedan, taxi, cab, taxi cab, jeep, minivan, limousine, limo, "
        "convertible, hatchback, station wagon",
    ),
    "motorcycle": (
        "vehicle",
        "motorbike, motor bike, motor cycle, dirt bike, dirtbike, moped, vespa, motor scooter",
    ),
    "airplane": (
        "vehicle",
        "air plane, aeroplane, plane, jet, jetliner, jet liner, airliner, aircraft, biplane, "
        "seaplane, jet plane, jet airplane, passenger plane, passenger jet, passenger airplane, "
        "passenger aircraft",
    ),
    "bus": (
        "vehicle",
        "school bus, tour bus, passenger bus, minibus, double decker, double decker bus, "
        "double-decker bus",
    ),
    "train": (
        "vehicle",
        "locomotive, steam engine, train engine, passenger train, subway train, train car, "
        "subway car, passenger car, rail car, railcar, monorail, caboose",
    ),
    "truck": (
        "vehicle",
        "pickup, pickup truck, pick up truck, lorry, firetruck, fire truck, fire engine, "
        "semi truck, tow truck, dump truck, garbage truck, food truck, tractor trailer, big rig",
    ),
    "boat": (
        "vehicle",
        "sailboat, sail boat, ship, canoe, kayak, rowboat, row boat, ferry, yacht, motorboat, "
        "motor boat, speedboat, speed boat, tugboat, tug boat, houseboat, house boat, barge, "
        "dinghy, catamaran",
    ),
    "traffic light": ("outdoor", "traffic signal, stoplight, stop light"),
    "fire hydrant": ("outdoor", "hydrant"),
    "stop sign": ("outdoor", ""),
    "parking meter": ("outdoor", ""),
    "bench": ("outdoor", "park bench"),
    "bird": (
        "animal",
        "duck, duckling, goose, geese, pigeon, dove, seagull, sea gull, gull, parrot, parakeet, "
        "owl, eagle, hawk, swan, penguin, ostrich, rooster, flamingo, pelican, hummingbird, "
        "peacock, crow, robin, finch, sparrow, heron, stork",
    ),
    "cat": ("animal", "kitten, kitty, tabby, feline, pussycat"),
    "dog": (
        "animal",
        "puppy, pup, hound, poodle, bulldog, bull dog, pit bull, sheepdog, sheep dog, beagle, "
        "labrador, retriever, german shepherd, chihuahua, terrier, dachshund, corgi, pug, collie, "
        "dalmatian, greyhound, canine, doggy, doggie",
    ),
    "horse": ("animal", "pony, foal, colt, mare, stallion"),
    "sheep": ("animal", "lamb, ram, ewe"),
    "cow": ("animal", "cattle, bull, calf, calves, ox, oxen"),
    "elephant": ("animal", ""),
    "bear": ("animal", "polar bear, grizzly bear, brown bear, black bear, panda, panda bear"),
    "zebra": ("animal", ""),
    "giraffe": ("animal", ""),
    "backpack": ("accessory", "back pack, rucksack, knapsack, book bag"),
    "umbrella": ("accessory", "parasol"),
    "handbag": ("accessory", "hand bag, purse, pocketbook"),
    "tie": ("accessory", "necktie, neck tie, bowtie, bow tie"),
    "suitcase": ("accessory", "suit case, luggage, baggage"),
    "frisbee": ("sports", "frisbe, flying disc, flying disk"),
    "skis": ("sports", ""),
    "snowboard": ("sports", "snow board"),
    "sports ball": (
        "sports",
        "ball, soccer ball, tennis ball, beach ball, volley ball, golf ball, basket ball",
    ),
    "kite": ("sports", ""),
    "baseball bat": ("sports", "bat"),
    "baseball glove": ("sports", "baseball mitt, catcher's mitt, catchers mitt, mitt"),
    "skateboard": ("sports", "skate board"),
    "surfboard": ("sports", "surf board"),
    "tennis racket": ("sports", "tennis racquet, racket, racquet"),
    "bottle": ("kitchen", "baby bottle"),
    "wine glass": (
        "kitchen",
        "wineglass, glass of wine, glasses of wine, glass of red wine, glass of white wine, "
        "glasses of red wine, glasses of white wine, champagne glass",
    ),
    "cup": ("kitchen", "mug, teacup, tea cup, coffee cup, coffee mug"),
    "fork": ("kitchen", ""),
    "knife": ("kitchen", "knives"),
    "spoon": ("kitchen", ""),
    "bowl": ("kitchen", "dog bowl, cat bowl"),
    "banana": ("food", ""),
    "apple": ("food", ""),
    "sandwich": ("food", "burger, hamburger, cheeseburger, panini"),
    "orange": ("food", "tangerine, clementine"),
    "broccoli": ("food", "brocolli, brocoli"),
    "carrot": ("food", "baby carrot"),
    "hot dog": ("food", "hotdog, chili dog, frankfurter"),
    "pizza": ("food", ""),
    "donut": ("food", "doughnut, dough nut"),
    "cake": ("food", "cupcake, cup cake, cheesecake, cheese cake, carrot cake"),
    "chair": ("furniture", "armchair, arm chair, recliner"),
    "couch": ("furniture", "sofa, loveseat, love seat, futon, sofa bed"),
    "potted plant": ("furniture", "houseplant, house plant, potted flower, potted tree"),
    "bed": ("furniture", "bunk bed"),
    "dining table": ("furniture", "dining room table, dinner table, kitchen table"),
    "toilet": ("furniture", "toilet bowl, commode"),
    "tv": (
        "electronic",
        "television, tv set, television set, tv screen, television screen, flat screen tv, "
        "flat screen television, flat screen, flatscreen, monitor, computer monitor, "
        "computer screen",
    ),
    "laptop": (
        "electronic",
        "laptop computer, lap top, notebook computer, macbook, netbook, apple laptop",
    ),
    "mouse": ("electronic", "mice, computer mouse"),
    "remote": (
        "electronic",
        "remote control, tv remote, television remote, wii remote, wiimote, wii controller, "
        "game controller, video game controller",
    ),
    "keyboard": ("electronic", "computer keyboard"),
    "cell phone": (
        "electronic",
        "cellphone, phone, mobile phone, smartphone, smart phone, iphone, cellular phone, "
        "flip phone",
    ),
    "microwave": ("appliance", "microwave oven"),
    "oven": ("appliance", "stove, stove top, stovetop, stove top oven, pizza oven"),
    "toaster": ("appliance", ""),
    "sink": ("appliance", "washbasin, wash basin"),
    "refrigerator": ("appliance", "fridge, refridgerator"),
    "book": ("indoor", "textbook, cookbook"),
    "clock": ("indoor", ""),
    "vase": ("indoor", ""),
    "scissors": ("indoor", "scissor"),
    "teddy bear": ("indoor", "teddy, teddybear, stuffed bear, toy bear"),
    "hair drier": ("indoor", "hair dryer, hairdryer, hairdrier, blow dryer, blow drier"),
    "toothbrush": ("indoor", "tooth brush"),
}

# Names that two categories share: the first one that the photo has.
_SHARED = {
    "bike": ("bicycle", "motorcycle"),
    "van": ("car", "truck", "bus"),
    "tram": ("train", "bus"),
    "trolley": ("train", "bus"),
    "trolley car": ("train", "bus"),
    "street car": ("train", "bus"),
    "streetcar": ("train", "bus"),
}

# Names that mean the category where the photo has it, and something else where it has not.
_PERHAPS = {
    "person": "baby, adult, mother, mom, father, dad, parent, son, daughter, brother, sister, "
    "friend, family, couple, pitcher, driver",
    "car": "ambulance",
    "truck": "ambulance",
    "motorcycle": "scooter",
    "train": "subway",
    "boat": "raft, gondola",
    "bird": "chicken, hen, crane",
    "handbag": "bag, tote bag, shoulder bag, briefcase",
    "backpack": "bag",
    "suitcase": "bag, briefcase",
    "frisbee": "disc, disk",
    "skis": "ski",
    "snowboard": "board",
    "surfboard": "board, boogie board, body board, paddle board, paddleboard, longboard",
    "skateboard": "board, longboard",
    "baseball glove": "glove",
    "wine glass": "goblet, glass of champagne, glass of beer, glass of water",
    "cup": "glass of beer, glass of water, glass of milk, glass of juice, glass of orange juice, "
    "glasses of beer, glasses of water, glasses of milk, glasses of juice",
    "orange": "orange",
    "hot dog": "corn dog",
    "chair": "stool, seat, wheelchair, wheel chair",
    "potted plant": "plant",
    "dining table": "table",
    "toilet": "urinal, toilet seat",
    "laptop": "computer, apple computer",
    "tv": "screen, computer",
    "remote": "controller",
    "cell phone": "telephone",
    "microwave": "toaster oven",
    "oven": "toaster oven",
    "toaster": "toaster oven",
    "refrigerator": "freezer",
    "sink": "basin",
    "teddy bear": "stuffed animal, stuffed toy",
}

# What holds the name of a category and is another thing.
_OTHERS = (
    "mens, womens, childrens, men's room, men's restroom, men's bathroom, women's restroom, "
    "women's bathroom, man made, man hole, gingerbread man, gingerbread men, snow man, lady bug, "
    "couple of, pitcher of, cake batter, family room, baby carriage, baby stroller, baby doll, "
    "baby food, baby corn, dvd player, cd player, record player, music player, media player, "
    "mp3 player, "
    "bike rack, bike lane, bike path, bike trail, bike shop, bike helmet, bicycle rack, "
    "bicycle lane, bicycle path, bicycle helmet, car park, car window, car seat, cable car, "
    "jet ski, aircraft carrier, plane window, airplane window, airplane seat, bus stop, "
    "bus station, bus terminal, bus shelter, bus lane, train station, train track, "
    "train platform, train yard, train depot, train terminal, train bridge, train line, "
    "train rail, train crossing, truck bed, boat dock, boat house, boat ramp, boat yard, "
    "rubber duck, rubber ducky, bird house, bird feeder, bird bath, bird cage, cat tail, cat food, "
    "cat litter, cat bed, dog food, dog bed, dog house, dog park, prairie dog, rocking horse, "
    "sea horse, horse shoe, gummy bear, bear claw, mickey mouse, mouse pad, "
    "sleeping bag, bean bag, paper bag, plastic bag, trash bag, garbage bag, punching bag, "
    "tie dye, railroad tie, zip tie, baggage claim, "
    "ski slope, ski lift, ski pole, ski resort, ski jump, ski lodge, ski jacket, ski suit, "
    "skies, ski goggles, ski hill, ski run, ski trail, ski boot, ski gear, ski mask, ski course, "
    "cutting board, chopping board, board game, white board, bulletin board, chalk board, "
    "ironing board, circuit board, ball game, ball field, ball park, ball room, ball cap, "
    "disco ball, meat ball, oven mitt, bottle cap, bottle opener, glasses, world cup, egg cup, "
    "fork lift, super bowl, bowl cut, apple pie, apple juice, apple cider, apple logo, "
    "orange juice, hot dog stand, hot dog cart, hot dog vendor, pizza box, pizza cutter, "
    "pizza parlor, pizza place, pizza restaurant, pizza shop, pizza pan, cake pan, cake stand, "
    "crab cake, chair lift, bed of, flower bed, river bed, bed room, bed spread, bed sheet, "
    "power plant, table cloth, table tennis, table lamp, table top, pool table, toilet paper, "
    "toilet brush, toilet tissue, toilet roll, tv stand, tv show, tv tray, tv dinner, "
    "tv cabinet, television show, television stand, remote area, remote location, "
    "remote controlled, phone booth, pay phone, phone book, telephone pole, telephone booth, "
    "phone pole, refrigerator magnet, book shelf, book shelves, book case, book store, "
    "piano keyboard"
)

_AGES = "baby, adult, mother, father, male, female"
_MADE = "statue, sculpture, figurine"  # some are boxed as the animal
_TOYS = "stuffed, toy"  # as the animal or as a teddy bear


def named_categories(words, shown):
    """What the words of a caption name.

    Args:
        words: list of str, the tokenised caption.
        shown: set of the categories that the photo has.
    Returns:
        List of `(first, end, category)`: words `first` to `end - 1` name the category. Words that
        perhaps name it do so where it is shown.
    """
    found = []
    for first, end, (categories, surely) in find_names(words, _NAMES):
        seen = [each for each in categories if each in shown]
        if seen or surely:
            found.append((first, end, (seen or categories)[0]))
    return found


def _split(text):
    return [each for each in text.split(", ") if each]


def _spellings(text):
    """The names in a text with commas: tuples of words, singular and plural, with hyphens too."""
    for each in _split(text):
        name = tuple(tokenize(each))
        for spelling in (name, *plurals(name)):
            yield from (spelling, ("-".join(spelling),))


def _all_names():
    """Dict, a name to its categories and whether it surely names them. Later lines overrule earlier
    ones."""
    names, perhaps = {}, {}
    for category, (supercategory, others) in CATEGORIES.items():
        for animal in _split(f"{category}, {others}") if supercategory == "animal" else ():
            for made in _split(_MADE):
                names |= dict.fromkeys(_spellings(f"{animal} {made}"), ((category,), False))
            for toy in _split(_TOYS):
                either = ("teddy bear", category)
                names |= dict.fromkeys(_spellings(f"{toy} {animal}"), (either, False))
            for age in _split(_AGES):
                names |= dict.fromkeys(_spellings(f"{age} {animal}"), ((category,), True))
    for category, (_, others) in CATEGORIES.items():
        names |= dict.fromkeys(_spellings(f"{category}, {others}"), ((category,), True))
    for name, categories in _SHARED.items():
        names |= dict.fromkeys(_spellings(name), (categories, True))
    for category, text in _PERHAPS.items():
        for singular in _split(text):
            for name in _spellings(singular):
                if name not in names or name == (singular,):  # "orange", but not "oranges"
                    perhaps[name] = (*perhaps.get(name, ()), category)
    names |= {name: (categories, False) for name, categories in perhaps.items()}
    return names | dict.fromkeys(_spellings(_OTHERS), ((), False))


_NAMES = _all_names()
