"""`headrace topics create`."""

import typer

app = typer.Typer(help="The topics that the engine reads and writes.", no_args_is_help=True)


@app.callback()
def topics() -> None:
    """The topics that the engine reads and writes."""


@app.command()
def create() -> None:
    """Create every topic that is not there yet; one that is there is left as it is."""
    import os

    from rich.console import Console
    from rich.table import Table

    from contracts.topics import TOPICS
    from headrace.environment import read_settings
    from streams.topics import create_topics

    kafka = read_settings(os.environ).kafka
    made = create_topics(kafka)
    table = Table("topic", "partitions", "key", "cleanup", "", box=None, header_style="bold")
    for topic in TOPICS:
        state = "[green]created[/green]" if made[topic.name] else "[dim]was there[/dim]"
        policy = topic.config["cleanup.policy"]
        name = kafka.topic_prefix + topic.name
        table.add_row(name, str(topic.partitions), topic.key, policy, state)
    Console().print(table)
