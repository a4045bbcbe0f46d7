"""What our transport saves.

What it reads is in test_consumer.py, what it does without a server in test_servers.py.
"""

from kombu import Connection

from worker.process.broker import Transport


def test_a_channel_makes_one_client_of_its_pool(server):
    """The stock transport makes one for every command, which costs more than the command."""
    with Connection(server.url, transport=Transport) as connection:
        channel = connection.channel()
        with channel.conn_or_acquire() as first, channel.conn_or_acquire() as second:
            assert first is second
        channel._disconnect_pools()
        with channel.conn_or_acquire() as third:
            assert third is not first
            assert third.ping()
