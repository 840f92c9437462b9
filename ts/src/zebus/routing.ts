import { type BindingKey, isEmptyKey } from './peer.js';

class Node<P> {
  peers: Set<P> | undefined;
  values: Map<string, Node<P>> | undefined;
  star: Node<P> | undefined;
  hash: Node<P> | undefined;

  get isBare(): boolean {
    return this.peers === undefined && this.values === undefined && this.star === undefined && this.hash === undefined;
  }
}

/** Values of a message's routing members: a list member contributes each of its values. */
export type RoutingContent = readonly (string | readonly string[])[];

/**
 * Subscriptions of one message type: a tree with a node per position; a peer lies at the node where its key ends
 * (71 §6). `P` is compared by identity.
 */
export class SubscriptionTree<P> {
  private readonly everything = new Set<P>();
  private readonly root = new Node<P>();
  private count = 0;
  private everyone: readonly P[] | undefined;

  get isEmpty(): boolean {
    return this.count === 0;
  }

  add(peer: P, key: BindingKey): void {
    this.everyone = undefined;
    if (isEmptyKey(key)) {
      if (!this.everything.has(peer)) this.count++;
      this.everything.add(peer);
      return;
    }
    let node = this.root;
    for (const part of key) node = child(node, part);
    node.peers ??= new Set();
    if (!node.peers.has(peer)) this.count++;
    node.peers.add(peer);
  }

  remove(peer: P, key: BindingKey): void {
    this.everyone = undefined;
    if (isEmptyKey(key)) {
      if (this.everything.delete(peer)) this.count--;
      return;
    }
    this.removeAt(this.root, peer, key, 0);
  }

  private removeAt(node: Node<P>, peer: P, key: BindingKey, depth: number): void {
    if (depth === key.length) {
      if (node.peers?.delete(peer)) this.count--;
      if (node.peers?.size === 0) node.peers = undefined;
      return;
    }
    const part = key[depth] as string;
    const next = part === '*' ? node.star : part === '#' ? node.hash : node.values?.get(part);
    if (next === undefined) return;
    this.removeAt(next, peer, key, depth + 1);
    if (!next.isBare) return;
    if (part === '*') node.star = undefined;
    else if (part === '#') node.hash = undefined;
    else {
      node.values?.delete(part);
      if (node.values?.size === 0) node.values = undefined;
    }
  }

  /** Distinct peers that get a message with this routing content; all of them when it is empty (not routable). */
  lookup(content: RoutingContent): readonly P[] {
    if (content.length === 0) {
      this.everyone ??= this.all();
      return this.everyone;
    }
    const found = new Set(this.everything);
    this.walk(this.root, content, 0, found);
    return [...found];
  }

  private all(): P[] {
    const found = new Set(this.everything);
    collect(this.root, found);
    return [...found];
  }

  private walk(node: Node<P>, content: RoutingContent, depth: number, found: Set<P>): void {
    if (depth > 0 && depth === content.length) {
      for (const peer of node.peers ?? []) found.add(peer);
      return;
    }
    if (node.hash !== undefined) collect(node.hash, found);
    if (node.star !== undefined) this.walk(node.star, content, depth + 1, found);
    if (node.values === undefined) return;
    const value = content[depth] as string | readonly string[];
    if (typeof value !== 'string') {
      for (const each of new Set(value)) this.descend(node.values, each, content, depth, found);
    } else {
      this.descend(node.values, value, content, depth, found);
    }
  }

  private descend(
    values: Map<string, Node<P>>,
    value: string,
    content: RoutingContent,
    depth: number,
    found: Set<P>,
  ): void {
    const next = values.get(value);
    if (next !== undefined) this.walk(next, content, depth + 1, found);
    // .NET peers write booleans as `True` and `False`.
    if (value === 'true' || value === 'false') {
      const other = values.get(value === 'true' ? 'True' : 'False');
      if (other !== undefined) this.walk(other, content, depth + 1, found);
    }
  }
}

function child<P>(node: Node<P>, part: string): Node<P> {
  if (part === '*') {
    node.star ??= new Node();
    return node.star;
  }
  if (part === '#') {
    node.hash ??= new Node();
    return node.hash;
  }
  node.values ??= new Map();
  let next = node.values.get(part);
  if (next === undefined) {
    next = new Node();
    node.values.set(part, next);
  }
  return next;
}

function collect<P>(node: Node<P>, found: Set<P>): void {
  for (const peer of node.peers ?? []) found.add(peer);
  if (node.star !== undefined) collect(node.star, found);
  if (node.hash !== undefined) collect(node.hash, found);
  for (const next of node.values?.values() ?? []) collect(next, found);
}

/** Whether one key matches a routing content: what a tree with only this key would say. */
export function keyMatches(key: BindingKey, content: RoutingContent): boolean {
  if (content.length === 0 || isEmptyKey(key)) return true;
  const tree = new SubscriptionTree<true>();
  tree.add(true, key);
  return tree.lookup(content).length > 0;
}
