"""A configuration, and what it includes, that changes on the disk is taken as after SIGHUP; a bad one changes nothing."""
import os

import mqtt
import scenario as s
from broker import Broker

included = None
broker = Broker("sys_interval 1")
included = broker.dir / "conf.d"
included.mkdir()
KEEP_ALIVE = "max_keepalive 77"


def write(text, name="broker.conf"):
    """Under another name first: whoever reads it sees all of it."""
    path = broker.dir / name
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    os.rename(fresh, path)


def count(text):
    return broker.log().count(text)


def wait_more(text, before):
    broker.wait_log("(?s)" + ".*".join([text] * (before + 1)))


def server_keep_alive():
    client = mqtt.Client(broker.address).open("k", keep_alive=0)
    seen = client.connack.props.get("server_keep_alive")
    client.bye()
    return seen


broker.write_config(f"sys_interval 1\ninclude_dir {included}")
GOOD = broker.file.read_text()


@s.scenario
def a_limit_that_is_changed_holds():
    assert server_keep_alive() is None
    stays = mqtt.Client(broker.address).open("stays")
    before = count("Config reloaded")
    write(GOOD + KEEP_ALIVE + "\n")
    wait_more("Config reloaded", before)
    assert server_keep_alive() == 77
    stays.ping()
    stays.bye()


@s.scenario
def a_file_that_comes_into_the_folder_counts():
    before = count("Config reloaded")
    write("max_keepalive 55\n", "conf.d/late.conf")
    wait_more("Config reloaded", before)
    broker.wait_log("max_keepalive")  # twice by now, which is told


@s.scenario
def a_bad_one_changes_nothing_and_a_good_one_mends_it():
    before = count("Config reloaded")
    os.unlink(included / "late.conf")
    wait_more("Config reloaded", before)
    write(GOOD + "max_keepalife 5\n")
    broker.wait_log("the last good one holds")
    assert server_keep_alive() == 77
    before = count("Config reloaded")
    write(GOOD)
    wait_more("Config reloaded", before)
    assert server_keep_alive() is None


with broker:
    s.main()
