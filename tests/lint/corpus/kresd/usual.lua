-- server: kresd 5.6
-- checker: accepts
net.listen('0.0.0.0', 53) -- expect: kresd-open
cache.size = 100 * MB
modules = { 'policy' }
-- expect next: kresd-validation, kresd-ttl-floor
policy.add(policy.suffix(policy.FORWARD('10.0.0.11@8600'), {todname('consul')})) -- expect: single-agent
