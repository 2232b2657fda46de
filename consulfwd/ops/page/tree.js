// What is to be seen as plain values, and the document made to show that, changing what differs only.
// Nodes stay as long as what they show does: focus, selection and opened details are kept. Text is
// text here: nothing is ever parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";
const SHOWN = new WeakMap();

/** An element: attributes are strings, numbers, true (there) or false and null (not there). */
export function h(tag, attributes, ...children) {
  const kept = children.flat(Infinity).filter((one) => one !== null && one !== undefined && one !== false);
  return { tag, attributes: attributes ?? {}, children: kept };
}

/** Make `parent` hold just `children`. Those with a `key` are the same ones wherever they stand. */
export function fill(parent, children, namespace = null) {
  const wanted = Array.isArray(children) ? children.flat(Infinity) : [children];
  const keyed = new Map();
  const others = [];
  for (const node of parent.childNodes) {
    const key = SHOWN.get(node)?.key;
    if (key === undefined) others.push(node);
    else keyed.set(key, node);
  }
  let next = parent.firstChild;
  for (const one of wanted) {
    if (one === null || one === undefined || one === false) continue;
    const node = taken(one, keyed, others) ?? made(one, namespace);
    show(node, one);
    if (node === next) next = next.nextSibling;
    else parent.insertBefore(node, next);
  }
  for (const node of [...others, ...keyed.values()]) node.remove();
}

// The node that shows it already, or can.
function taken(one, keyed, others) {
  if (typeof one !== "object") {
    const at = others.findIndex((node) => node.nodeType === Node.TEXT_NODE);
    return at < 0 ? null : others.splice(at, 1)[0];
  }
  const key = one.attributes.key;
  if (key !== undefined) {
    const node = keyed.get(key);
    if (node?.localName !== one.tag) return null;
    keyed.delete(key);
    return node;
  }
  const at = others.findIndex((node) => node.localName === one.tag);
  return at < 0 ? null : others.splice(at, 1)[0];
}

function made(one, namespace) {
  if (typeof one !== "object") return document.createTextNode("");
  const space = one.tag === "svg" ? SVG : namespace;
  const node = space ? document.createElementNS(space, one.tag) : document.createElement(one.tag);
  SHOWN.set(node, { key: one.attributes.key, attributes: {} });
  return node;
}

function show(node, one) {
  if (typeof one !== "object") {
    const text = String(one);
    if (node.data !== text) node.data = text;
    return;
  }
  const shown = SHOWN.get(node) ?? { attributes: {} };
  for (const [name, value] of Object.entries(one.attributes)) {
    if (name === "key" || shown.attributes[name] === value) continue;
    if (value === false || value === null || value === undefined) node.removeAttribute(name);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const name of Object.keys(shown.attributes)) {
    if (!(name in one.attributes)) node.removeAttribute(name);
  }
  SHOWN.set(node, { key: one.attributes.key, attributes: one.attributes });
  fill(node, one.children, node.namespaceURI === SVG ? SVG : null);
}
