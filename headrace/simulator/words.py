"""What the simulated videos are about, in three languages, and how their titles are put together.

A topic is a tag with a phrase per language; titles and tags therefore say the same thing, as they
do where people write them. All of it was written for this simulator.
"""

from dataclasses import dataclass
from random import Random
from typing import Final

LANGUAGES: Final = ("en", "de", "es")


@dataclass(frozen=True, slots=True)
class Topic:
    """A tag, and what a title calls it: `phrases` in the order of `LANGUAGES`."""

    tag: str
    phrases: tuple[str, str, str]


def _topics(table: str) -> tuple[Topic, ...]:
    rows = [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]
    return tuple(Topic(tag, (en, de, es)) for tag, en, de, es in rows)


TOPICS: Final[dict[str, tuple[Topic, ...]]] = {
    "cooking": _topics("""
        sourdough | sourdough bread | Sauerteigbrot | pan de masa madre
        noodles | hand-pulled noodles | handgezogene Nudeln | fideos caseros
        curry | weeknight curry | schnelles Curry | curry de diario
        baking | lemon tart | Zitronentarte | tarta de limón
        grilling | charcoal grilling | Grillen über Kohle | parrilla de carbón
        vegetarian | lentil stew | Linseneintopf | guiso de lentejas
    """),
    "travel": _topics("""
        night-trains | night trains | Nachtzüge | trenes nocturnos
        islands | small islands | kleine Inseln | islas pequeñas
        city-walks | a walk through the old town | Spaziergang durch die Altstadt | paseo por el centro
        camping | wild camping | wildes Zelten | acampada libre
        street-food | street food markets | Straßenküche | comida callejera
        mountains | a hut in the mountains | eine Berghütte | un refugio de montaña
    """),
    "music": _topics("""
        piano | piano practice | Klavier üben | práctica de piano
        synth | modular synths | modulare Synthesizer | sintetizadores modulares
        choir | choir rehearsal | Chorprobe | ensayo de coro
        guitar | fingerstyle guitar | Gitarre zupfen | guitarra con los dedos
        drums | drum grooves | Schlagzeug-Grooves | ritmos de batería
        mixing | mixing a demo | eine Demo abmischen | mezclar una maqueta
    """),
    "football": _topics("""
        tactics | pressing explained | Pressing erklärt | la presión explicada
        goals | goals of the week | Tore der Woche | goles de la semana
        training | finishing drills | Torschuss-Training | ejercicios de remate
        keepers | great saves | große Paraden | grandes paradas
        youth | a youth tournament | ein Jugendturnier | un torneo juvenil
        stadiums | old stadiums | alte Stadien | estadios antiguos
    """),
    "science": _topics("""
        space | pictures of deep space | Bilder aus dem All | imágenes del espacio
        chemistry | kitchen chemistry | Chemie in der Küche | química de cocina
        biology | life in a pond | Leben im Teich | vida en una charca
        maths | a neat proof | ein schöner Beweis | una bella demostración
        physics | why ice floats | warum Eis schwimmt | por qué flota el hielo
        geology | reading rocks | Steine lesen | leer las rocas
    """),
    "games": _topics("""
        speedrun | a clean speedrun | ein sauberer Speedrun | un speedrun limpio
        puzzle | puzzle rooms | Rätselräume | salas de acertijos
        strategy | opening build orders | Eröffnungen der Strategie | aperturas de estrategia
        retro | restored consoles | restaurierte Konsolen | consolas restauradas
        racing | sim racing laps | Runden im Simulator | vueltas en simulador
        board-games | board game night | Brettspielabend | noche de juegos de mesa
    """),
    "garden": _topics("""
        tomatoes | growing tomatoes | Tomaten ziehen | cultivar tomates
        compost | hot compost | heißer Kompost | compost caliente
        balcony | a balcony garden | ein Balkongarten | un huerto en el balcón
        bees | keeping bees | Bienen halten | criar abejas
        bonsai | wiring a bonsai | Bonsai drahten | alambrar un bonsái
        herbs | a herb spiral | eine Kräuterspirale | una espiral de hierbas
    """),
    "crafts": _topics("""
        woodwork | dovetail joints | Schwalbenschwanz-Verbindungen | ensambles de cola de milano
        pottery | throwing a bowl | eine Schale drehen | tornear un cuenco
        knitting | a warm jumper | ein warmer Pullover | un jersey de abrigo
        leather | stitching leather | Leder nähen | coser cuero
        printing | linocut printing | Linoldruck | grabado en linóleo
        repair | mending old radios | alte Radios reparieren | reparar radios viejas
    """),
    "fitness": _topics("""
        running | the first five kilometres | die ersten fünf Kilometer | los primeros cinco kilómetros
        yoga | slow morning yoga | ruhiges Morgen-Yoga | yoga de la mañana
        climbing | bouldering footwork | Fußtechnik beim Bouldern | técnica de pies en bloque
        swimming | a smoother crawl | ruhiger kraulen | un crol más suave
        strength | kettlebell basics | Kettlebell-Grundlagen | bases de kettlebell
        cycling | gravel rides | Touren auf Schotter | rutas de grava
    """),
    "animals": _topics("""
        cats | cats in boxes | Katzen in Kisten | gatos en cajas
        dogs | a clever sheepdog | ein kluger Hütehund | un perro pastor listo
        birds | birds at the feeder | Vögel am Futterhaus | pájaros en el comedero
        reef | a reef tank | ein Riffaquarium | un acuario de arrecife
        horses | training a young horse | ein junges Pferd ausbilden | domar un caballo joven
        hedgehogs | a hedgehog house | ein Igelhaus | una casa para erizos
    """),
    "tech": _topics("""
        keyboards | building a keyboard | eine Tastatur bauen | montar un teclado
        robots | a balancing robot | ein balancierender Roboter | un robot que se equilibra
        homelab | a quiet home server | ein leiser Heimserver | un servidor casero silencioso
        solar | balcony solar panels | Solar am Balkon | paneles solares de balcón
        cameras | old lenses tested | alte Objektive im Test | objetivos antiguos a prueba
        maps | drawing maps with code | Karten programmieren | dibujar mapas con código
    """),
    "comedy": _topics("""
        sketch | an office sketch | ein Bürosketch | un sketch de oficina
        stand-up | stand-up about trains | Stand-up über Züge | monólogo sobre trenes
        parody | a trailer parody | eine Trailer-Parodie | una parodia de tráiler
        puppets | puppets argue | Puppen streiten | marionetas discuten
        pranks | a harmless prank | ein harmloser Streich | una broma inocente
        impro | improvised scenes | improvisierte Szenen | escenas improvisadas
    """),
}
CATEGORIES: Final = tuple(TOPICS)

_FRAMES: Final = (
    (
        "{0}, step by step", "what nobody tells you about {0}", "{0} in one minute",
        "{0} and {1}", "my honest try at {0}", "{0} for beginners", "{0}: part {n}",
        "the calm side of {0}", "{0} before breakfast", "I tried {0} for {n} days",
    ),
    (
        "{0}, Schritt für Schritt", "{0}: was niemand sagt", "{0} in einer Minute",
        "{0} und {1}", "ehrlich versucht: {0}", "{0} für den Anfang", "{0}: Teil {n}",
        "{0}, ganz in Ruhe", "{0} vor dem Frühstück", "{n} Tage lang: {0}",
    ),
    (
        "{0}, paso a paso", "lo que nadie cuenta: {0}", "{0} en un minuto",
        "{0} y {1}", "un intento sincero: {0}", "{0} para empezar", "{0}: parte {n}",
        "{0} con calma", "{0} antes del desayuno", "{n} días: {0}",
    ),
)  # fmt: skip


def title(rng: Random, language: int, first: Topic, second: Topic) -> str:
    """A title in one language (index of `LANGUAGES`) about one topic, or about two."""
    text = rng.choice(_FRAMES[language]).format(
        first.phrases[language], second.phrases[language], n=rng.randint(2, 30)
    )
    return text[0].upper() + text[1:]
