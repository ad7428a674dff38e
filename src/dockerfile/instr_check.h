/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of each instruction that hold whatever its variables are. */
#pragma once

#include "dockerfile/instructions.h"

void instr_check(struct diag *d, const struct instr *i);
