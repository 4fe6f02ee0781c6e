import asyncio, time, logging
import pytest
from proto import jetstream
from tests.integration import test_site_agent as M

from tests.servers.nats import nats_server
def wrap(cls, name, limit, fmt):
    real=getattr(cls,name)
    async def timed(self,*a,**k):
        t=time.time()
        try: return await real(self,*a,**k)
        finally:
            d=time.time()-t
            if d>limit: print(f"SLOW {name} {d:.2f} {fmt(self,a)} began {t:.3f}", flush=True)
    setattr(cls,name,timed)
wrap(jetstream.Delivery,"ack",1,lambda s,a:s.subject)
wrap(jetstream.JetStream,"publish",1,lambda s,a:a[0])
wrap(jetstream.JetStream,"request",1,lambda s,a:a[0])
@pytest.mark.parametrize("n",range(8))
async def test_x(nats_server,n):
    t=time.time()
    await M.test_two_agents_share_a_site(nats_server)
    print("TOOK",n,time.time()-t)
