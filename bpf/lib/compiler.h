/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the compiler and the verifier are told. */
#pragma once
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* A step of every packet's path. It answers 0 to go on, or the drop reason (unless it says otherwise). */
#define STEP static __always_inline

/* A step of few packets: a global function, which the verifier checks once and apart from its callers. Its pointer
 * arguments may be NULL for all that the verifier knows, and packet pointers are lost across the call. */
#define RARE __attribute__((noinline))

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Hides a value's origin from the optimiser. */
#define opaque(x) asm volatile("" : "+r"(x))

/* Likewise, but checked with each caller, so that its arguments may hold pointers. */
#define RARE_LOCAL static __attribute__((noinline))

/* Keeps the compiler from reordering writes to memory that another processor reads. */
#define barrier() asm volatile("" ::: "memory")
