-- server: kresd 5.6
-- checker: accepts
local agents = {'10.0.0.11@8600', '10.0.0.12'} -- expect: agent-port
policy.add(policy.all(policy.FORWARD({'10.0.0.53'})))
policy.add(policy.suffix(policy.STUB(agents), policy.todnames({'consul'}))) -- expect: kresd-shadowed
