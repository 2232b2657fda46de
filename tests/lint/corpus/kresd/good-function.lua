-- server: kresd 5.6
-- checker: accepts
net.listen('127.0.0.1')
cache.min_ttl(0)
local agents = policy.STUB({'10.0.0.11@8600', '10.0.0.12@8600'})
local consul = todname('consul')
policy.add(function (_, query)
    if query:name():sub(-#consul) == consul then return agents end
end)
