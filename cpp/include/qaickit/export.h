#pragma once

// Marks what libqaickit.so exports; everything else has hidden visibility.
#define QAICKIT_API [[gnu::visibility("default")]]
