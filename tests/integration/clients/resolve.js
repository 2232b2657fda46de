// How a program on Node.js resolves names: dns.lookup ("lookup": the C library, by a thread), or
// dns.resolve ("resolve": c-ares).
//
// Each line read is a question, "KIND NAME REVERSE", and answered by one line: "ok" and what was
// found, or "error" and what the library calls it.
'use strict';

const dns = require('dns').promises;
const readline = require('readline');

async function lookup(kind, name) {
  if (kind === 'ptr') return [(await dns.lookupService(name, 53)).hostname];
  const family = { any: 0, a: 4, aaaa: 6 }[kind];
  if (family === undefined) throw new Error('not a question');
  return (await dns.lookup(name, { all: true, family })).map((found) => found.address);
}

async function both(name) {
  const parts = await Promise.allSettled([dns.resolve4(name), dns.resolve6(name)]);
  const found = parts.flatMap((part) => part.value ?? []);
  if (!found.length) throw parts[0].reason;
  return found;
}

async function resolve(kind, name) {
  switch (kind) {
    case 'any': return both(name);
    case 'a': return dns.resolve4(name);
    case 'aaaa': return dns.resolve6(name);
    case 'srv': return (await dns.resolveSrv(name)).map((found) => `${found.name}:${found.port}`);
    case 'ptr': return dns.reverse(name);
    default: throw new Error('not a question');
  }
}

async function main() {
  const ask = process.argv[2] === 'lookup' ? lookup : resolve;
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [kind, name] = line.split(' ');
    try {
      console.log(['ok', ...(await ask(kind, name))].join(' '));
    } catch (error) {
      console.log(`error ${error.code ?? error.message}`);
    }
  }
}

main();
