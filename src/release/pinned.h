/* SPDX-License-Identifier: Apache-2.0 */
/* What the manifests of clones of GitOps repositories pin, for the registry's retention. */
#pragma once

#include "base/compiler.h"
#include "base/err.h"
#include "base/map.h"
#include "base/vec.h"

/*
 * Adds the keys "<repository>:<tag>" and "<repository>@<digest>" of all pins, in the work tree and at the
 * main ref of each clone. A clone or a manifest that cannot be read, and a clone that pins nothing, is an
 * error: what it pins is not known.
 */
MUST_USE struct err *release_pinned(const struct strvec *clones, struct map *out);
