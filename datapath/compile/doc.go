// Package compile turns a policy.Table into the BPF instructions of one global function,
//
//	int f(struct policy_input *in)
//
// which answers rule<<8 | verdict (bpf/abi/policy.h). The function replaces the stub policy_egress or policy_ingress of a
// container's programs, so that code and policy are one object.
//
// There are two forms. The tree is nothing but comparisons with constants: a balanced tree over identities, one over the
// CIDR ranges of the world, and one per distinct profile. It costs verification time in proportion to its size, so a
// table whose tree would exceed a number of instructions is searched instead: the function then has a fixed number of
// branch-free steps of binary search over immutable data, which the caller puts into a frozen array map.
//
// The package is pure: it neither loads anything nor touches the kernel. Start reading at Compile.
package compile
