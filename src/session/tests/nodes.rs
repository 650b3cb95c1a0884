//! Changes of the directory of nodes.

#[test]
fn changes_of_nodes() {
    shows!(
        "session
         query SELECT node, state, membership, peer_address, zone, weight, priority FROM system.nodes
         query SELECT name, value FROM system.cluster
         query ALTER NODE 2 SET ZONE 'rack 2'
         query ALTER NODE 2 SET PRIORITY 20; ALTER NODE 3 SET WEIGHT 2
         query SELECT node, zone, weight, priority FROM system.nodes
         query ADD NODE 'h4:5434' ZONE 'rack 4'
         query ADD NODE 'h4:5434'
         query SELECT node, state, membership FROM system.nodes WHERE node > 3
         query DRAIN NODE 1
         query DRAIN NODE 1 FORCE
         query REMOVE NODE 1
         query REMOVE NODE 4
         query SELECT node, membership FROM system.nodes
         query SELECT partition, node, wanted FROM system.replicas WHERE partition = 1
         query ALTER CLUSTER SET k_safety = 2
         query ALTER CLUSTER SET max_moves = 4
         query PAUSE REBALANCING
         query SELECT name, value FROM system.cluster
         query DRAIN NODE 17
         parse s - ACTIVATE NODE 1
         bind - s
         describe P -
         execute -
         sync"
    );
}

#[test]
fn a_change_of_nodes_is_a_transaction_of_its_own() {
    shows!(
        "session
         query BEGIN
         query PAUSE REBALANCING
         query ROLLBACK
         query SET default_transaction_read_only = on
         query PAUSE REBALANCING
         query SET default_transaction_read_only = off
         query SELECT 1; PAUSE REBALANCING; SELECT 2
         fault drop-reply
         query RESUME REBALANCING
         sleep 100
         query SELECT value FROM system.cluster WHERE name = 'rebalancing'"
    );
}
