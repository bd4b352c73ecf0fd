"""SIGHUP: a good file takes effect without dropping anybody; a bad one changes nothing and is explained."""
import signal

import mqtt
import scenario as s
from broker import Broker

broker = Broker("max_keepalive 600")


def keep_alive():
    return mqtt.Client(broker.address).open("probe", keep_alive=0).connack.props["server_keep_alive"]


@s.scenario
def good_file():
    stays = mqtt.Client(broker.address).open("stays")
    assert keep_alive() == 600
    broker.write_config("max_keepalive 300")
    broker.signal(signal.SIGHUP)
    broker.wait_log(r"Config reloaded")
    assert keep_alive() == 300
    stays.ping()


@s.scenario
def bad_file():
    broker.write_config("max_keepalive 100\nmax_keepalife 1\nmax_qos 7")
    broker.signal(signal.SIGHUP)
    broker.wait_log(rf"broker\.conf:{broker.line_of('max_keepalife')}: .*max_keepalife.*max_keepalive")
    broker.wait_log(rf"broker\.conf:{broker.line_of('max_qos')}: .*max_qos")
    broker.wait_log(r"last good")
    assert keep_alive() == 300


@s.scenario
def what_needs_a_restart_is_told():
    broker.write_config("max_keepalive 200\nworkers 1")
    broker.signal(signal.SIGHUP)
    broker.wait_log(r"Warning: .*workers")
    s.until(lambda: keep_alive() == 200)


@s.scenario
def usr2_writes_the_subscriptions():
    c = mqtt.Client(broker.address).open("subscriber")
    c.sub("dump/+/a", "$share/g/dump/b")
    broker.signal(signal.SIGUSR2)
    broker.wait_log(r"Subscription: dump/\+/a ")
    broker.wait_log(r"Subscription: \$share/g/dump/b ")
    broker.wait_log(r"Subscriptions: 2 filters")
    broker.signal(signal.SIGUSR1)
    c.ping()


with broker:
    s.main()
