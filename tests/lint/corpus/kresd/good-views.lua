-- server: kresd 5.6
-- checker: accepts
net.listen('127.0.0.1')
modules.load('view')
modules.load('rebinding < iterate')
cache.min_ttl(0)
local agents = {}
for last = 11, 13 do
    agents[#agents + 1] = '10.0.0.' .. last .. '@8600'
end
policy.add(policy.pattern(policy.FLAGS({'ALLOW_LOCAL'}), '\6consul%z$'))
view:addr('10.0.0.0/8', policy.suffix(policy.STUB(agents), policy.todnames({'consul'})))
