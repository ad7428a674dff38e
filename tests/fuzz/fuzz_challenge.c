/* SPDX-License-Identifier: Apache-2.0 */
#include "remote/challenge.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(challenges_fini) struct vec list = VEC_OF(struct challenge);
	err_free(challenge_parse(str_n((const char *)data, size), &list));
	(void)challenge_choose(&list);
	return 0;
}
