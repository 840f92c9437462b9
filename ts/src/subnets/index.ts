/** Subnets: ids, policies, visibility. */
export { assignSubnet, type CompiledPolicy, compilePolicy, type SubnetPolicy, type SubnetRule } from './policy.js';
export {
  areSiblings,
  GLOBAL_SUBNET,
  isAncestor,
  packSubnet,
  parentSubnet,
  type SubnetId,
  subnetDepth,
  subnetId,
  subnetText,
  unpackSubnet,
} from './subnet-id.js';
export { isVisible, VISIBILITIES, type Visibility } from './visibility.js';
