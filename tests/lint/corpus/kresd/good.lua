-- server: kresd 5.6
-- checker: accepts
--[[ Answers are not kept, and
     only hosts of the site may ask. ]]
net.listen('0.0.0.0', 53, { kind = 'dns' })
cache.size = 100 * MB
modules.load('view')
view:addr('10.0.0.0/8', policy.all(policy.PASS))
view:addr('0.0.0.0/0', policy.all(policy.REFUSE))
local consul = policy.todnames({'consul', '10.in-addr.arpa'})
policy.add(policy.suffix(policy.FLAGS({'NO_CACHE'}), consul))
policy.add(policy.suffix(policy.STUB({'10.0.0.11@8600', '10.0.0.12@8600'}), consul))
policy.add(policy.all(policy.TLS_FORWARD({{'192.0.2.1', hostname='res.example.com'}})))
