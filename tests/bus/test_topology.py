"""Each service may do on the bus what the topology declares, and nothing else."""



from deploy.local.nats import Nats
from libs.common.bus.topology import API_PREFIX


async def test_a_service_publishes_its_own_event(nats_server: Nats) -> None:
    """An event under the service's own name is stored, with an acknowledgement of the event stream."""
    async with nats_server.connect("runner") as client:
        ack = await client.jetstream(prefix=API_PREFIX).publish("evt.t.runner.run.created", b"{}")
    assert ack.stream == "EVT"
