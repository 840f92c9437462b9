/** `meshring/subnets`: hierarchical groups of nodes. */
export { GLOBAL_SUBNET, type SubnetId, type SubnetPolicy, type SubnetRule, subnetId } from './subnets/index.js';
