// A mapped file that someone cuts off: the read of what is gone ends the process with exit code 65 and a message that names file and byte,
// where it would be a bus error without a word.
#pragma once

namespace tw {
// Installs the handler, once. Bus errors that no mapped file explains go to the handler that was there before.
void explain_bus_errors();
}  // namespace tw
