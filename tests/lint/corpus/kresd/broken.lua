-- server: kresd 5.6
-- checker: refuses
policy.add policy.suffix
policy.add(policy.suffix(policy.STUB('10.0.0.11@8600'), {todname('consul')})) -- expect: single-agent
