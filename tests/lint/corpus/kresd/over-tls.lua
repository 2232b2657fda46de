-- server: kresd 5.6
-- checker: accepts
net.listen('127.0.0.1')
modules = { 'view', 'rebinding < iterate' }
cache.min_ttl(0)
trust_anchors.set_insecure({'consul'})
local agents = {{'10.0.0.11@8600', hostname='server.dc1.consul'}, {'10.0.0.12@8600', hostname='server.dc1.consul'}}
-- expect next: kresd-tls, kresd-rebinding
policy.add(policy.suffix(policy.TLS_FORWARD(agents), policy.todnames({'consul'})))
