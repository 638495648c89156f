//! The built-in prices. Made by scripts/prices/make.py; edit models.txt there and run it, not this file.
//!
//! Source: litellm 1.106.2, model_prices_and_context_window_backup.json (MIT), read 2026-11-21,
//! SHA-256 66970be01c88f94618f9f69c1a1d29e400474f2d7b89973de7e373c110f455c2.
//!
//! `rates([input, cache_read, cache_write_5m, cache_write_1h, input_audio, output, reasoning, output_audio])`
//! in pico-dollars per token: $1 per million tokens is 1_000_000.

use super::{Model, Scale, rates};

/// The day the prices were read.
pub(super) const VERSION: &str = "2026-11-21";

/// Sorted by provider, then name.
#[rustfmt::skip]
pub(super) static MODELS: &[Model] = &[
    Model {
        provider: "anthropic",
        name: "claude-fable-5",
        context_tokens: 1_000_000,
        output_tokens: 128_000,
        web_search: 10_000_000_000,
        standard: Scale {
            base: rates([10_000_000, 1_000_000, 12_500_000, 20_000_000, 10_000_000, 50_000_000, 50_000_000, 50_000_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "anthropic",
        name: "claude-fable-5-1",
        context_tokens: 1_000_000,
        output_tokens: 128_000,
        web_search: 10_000_000_000,
        standard: Scale {
            base: rates([10_000_000, 250_000, 12_500_000, 20_000_000, 10_000_000, 50_000_000, 50_000_000, 50_000_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "anthropic",
        name: "claude-haiku-4-5",
        context_tokens: 200_000,
        output_tokens: 64_000,
        web_search: 0,
        standard: Scale {
            base: rates([1_000_000, 100_000, 1_250_000, 2_000_000, 1_000_000, 5_000_000, 5_000_000, 5_000_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "anthropic",
        name: "claude-haiku-5-5",
        context_tokens: 1_000_000,
        output_tokens: 128_000,
        web_search: 10_000_000_000,
        standard: Scale {
            base: rates([100_000, 10_000, 125_000, 200_000, 100_000, 500_000, 500_000, 500_000]),
            above: &[
                (100_000, rates([500_000, 50_000, 625_000, 1_000_000, 500_000, 2_500_000, 2_500_000, 2_500_000])),
            ],
        },
        tiers: &[],
    },
    Model {
        provider: "anthropic",
        name: "claude-opus-4-5",
        context_tokens: 200_000,
        output_tokens: 64_000,
        web_search: 10_000_000_000,
        standard: Scale {
            base: rates([5_000_000, 500_000, 6_250_000, 10_000_000, 5_000_000, 25_000_000, 25_000_000, 25_000_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "anthropic",
        name: "claude-opus-4-6",
        context_tokens: 1_000_000,
        output_tokens: 128_000,
        web_search: 10_000_000_000,
        standard: Scale {
            base: rates([5_000_000, 500_000, 6_250_000, 10_000_000, 5_000_000, 25_000_000, 25_000_000, 25_000_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "anthropic",
        name: "claude-opus-4-7",
        context_tokens: 1_000_000,
        output_tokens: 128_000,
        web_search: 10_000_000_000,
        standard: Scale {
            base: rates([5_000_000, 500_000, 6_250_000, 10_000_000, 5_000_000, 25_000_000, 25_000_000, 25_000_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "anthropic",
        name: "claude-opus-4-8",
        context_tokens: 1_000_000,
        output_tokens: 128_000,
        web_search: 10_000_000_000,
        standard: Scale {
            base: rates([5_000_000, 500_000, 6_250_000, 10_000_000, 5_000_000, 25_000_000, 25_000_000, 25_000_000]),
            above: &[],
        },
        tiers: &[
            ("fast", Scale {
                base: rates([10_000_000, 1_000_000, 12_500_000, 20_000_000, 10_000_000, 50_000_000, 50_000_000, 50_000_000]),
                above: &[],
            }),
        ],
    },
    Model {
        provider: "anthropic",
        name: "claude-opus-5",
        context_tokens: 1_000_000,
        output_tokens: 128_000,
        web_search: 10_000_000_000,
        standard: Scale {
            base: rates([5_000_000, 500_000, 6_250_000, 10_000_000, 5_000_000, 25_000_000, 25_000_000, 25_000_000]),
            above: &[],
        },
        tiers: &[
            ("fast", Scale {
                base: rates([10_000_000, 1_000_000, 12_500_000, 20_000_000, 10_000_000, 50_000_000, 50_000_000, 50_000_000]),
                above: &[],
            }),
        ],
    },
    Model {
        provider: "anthropic",
        name: "claude-opus-5-5",
        context_tokens: 1_000_000,
        output_tokens: 128_000,
        web_search: 10_000_000_000,
        standard: Scale {
            base: rates([4_000_000, 200_000, 5_000_000, 8_000_000, 4_000_000, 20_000_000, 20_000_000, 20_000_000]),
            above: &[],
        },
        tiers: &[
            ("fast", Scale {
                base: rates([8_000_000, 400_000, 10_000_000, 16_000_000, 8_000_000, 40_000_000, 40_000_000, 40_000_000]),
                above: &[],
            }),
        ],
    },
    Model {
        provider: "anthropic",
        name: "claude-sonnet-4-5",
        context_tokens: 200_000,
        output_tokens: 64_000,
        web_search: 10_000_000_000,
        standard: Scale {
            base: rates([3_000_000, 300_000, 3_750_000, 6_000_000, 3_000_000, 15_000_000, 15_000_000, 15_000_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "anthropic",
        name: "claude-sonnet-4-6",
        context_tokens: 1_000_000,
        output_tokens: 128_000,
        web_search: 10_000_000_000,
        standard: Scale {
            base: rates([3_000_000, 300_000, 3_750_000, 6_000_000, 3_000_000, 15_000_000, 15_000_000, 15_000_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "anthropic",
        name: "claude-sonnet-5",
        context_tokens: 1_000_000,
        output_tokens: 128_000,
        web_search: 10_000_000_000,
        standard: Scale {
            base: rates([2_000_000, 200_000, 2_500_000, 4_000_000, 2_000_000, 10_000_000, 10_000_000, 10_000_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "anthropic",
        name: "claude-sonnet-5-5",
        context_tokens: 1_000_000,
        output_tokens: 128_000,
        web_search: 10_000_000_000,
        standard: Scale {
            base: rates([2_000_000, 100_000, 2_500_000, 4_000_000, 2_000_000, 10_000_000, 10_000_000, 10_000_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "cohere",
        name: "command-a-03-2025",
        context_tokens: 256_000,
        output_tokens: 8_000,
        web_search: 0,
        standard: Scale {
            base: rates([2_500_000, 2_500_000, 2_500_000, 2_500_000, 2_500_000, 10_000_000, 10_000_000, 10_000_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "cohere",
        name: "command-r-08-2024",
        context_tokens: 128_000,
        output_tokens: 4_096,
        web_search: 0,
        standard: Scale {
            base: rates([150_000, 150_000, 150_000, 150_000, 150_000, 600_000, 600_000, 600_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "cohere",
        name: "command-r-plus-08-2024",
        context_tokens: 128_000,
        output_tokens: 4_096,
        web_search: 0,
        standard: Scale {
            base: rates([2_500_000, 2_500_000, 2_500_000, 2_500_000, 2_500_000, 10_000_000, 10_000_000, 10_000_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "cohere",
        name: "command-r7b-12-2024",
        context_tokens: 128_000,
        output_tokens: 4_096,
        web_search: 0,
        standard: Scale {
            base: rates([37_500, 37_500, 37_500, 37_500, 37_500, 150_000, 150_000, 150_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "cohere",
        name: "embed-multilingual-v3.0",
        context_tokens: 512,
        output_tokens: 0,
        web_search: 0,
        standard: Scale {
            base: rates([100_000, 100_000, 100_000, 100_000, 100_000, 0, 0, 0]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "cohere",
        name: "embed-v5.0-fast",
        context_tokens: 128_000,
        output_tokens: 0,
        web_search: 0,
        standard: Scale {
            base: rates([80_000, 80_000, 80_000, 80_000, 80_000, 0, 0, 0]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "cohere",
        name: "embed-v5.0-pro",
        context_tokens: 128_000,
        output_tokens: 0,
        web_search: 0,
        standard: Scale {
            base: rates([120_000, 120_000, 120_000, 120_000, 120_000, 0, 0, 0]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "deepseek",
        name: "deepseek-chat",
        context_tokens: 131_072,
        output_tokens: 8_192,
        web_search: 0,
        standard: Scale {
            base: rates([280_000, 28_000, 280_000, 280_000, 280_000, 420_000, 420_000, 420_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "deepseek",
        name: "deepseek-flash",
        context_tokens: 1_000_000,
        output_tokens: 393_216,
        web_search: 0,
        standard: Scale {
            base: rates([300_000, 6_000, 300_000, 300_000, 300_000, 1_200_000, 1_200_000, 1_200_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "deepseek",
        name: "deepseek-reasoner",
        context_tokens: 131_072,
        output_tokens: 65_536,
        web_search: 0,
        standard: Scale {
            base: rates([280_000, 28_000, 280_000, 280_000, 280_000, 420_000, 420_000, 420_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "deepseek",
        name: "deepseek-v4-flash",
        context_tokens: 1_000_000,
        output_tokens: 393_216,
        web_search: 0,
        standard: Scale {
            base: rates([300_000, 6_000, 300_000, 300_000, 300_000, 1_200_000, 1_200_000, 1_200_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "deepseek",
        name: "deepseek-v4-pro",
        context_tokens: 1_000_000,
        output_tokens: 393_216,
        web_search: 0,
        standard: Scale {
            base: rates([1_320_000, 44_000, 1_320_000, 1_320_000, 1_320_000, 3_960_000, 3_960_000, 3_960_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "gemini",
        name: "gemini-2.5-flash",
        context_tokens: 1_048_576,
        output_tokens: 65_536,
        web_search: 35_000_000_000,
        standard: Scale {
            base: rates([300_000, 30_000, 300_000, 300_000, 1_000_000, 2_500_000, 2_500_000, 2_500_000]),
            above: &[],
        },
        tiers: &[
            ("flex", Scale {
                base: rates([150_000, 30_000, 150_000, 150_000, 1_000_000, 1_250_000, 1_250_000, 1_250_000]),
                above: &[],
            }),
            ("priority", Scale {
                base: rates([540_000, 54_000, 540_000, 540_000, 1_800_000, 4_500_000, 4_500_000, 4_500_000]),
                above: &[],
            }),
        ],
    },
    Model {
        provider: "gemini",
        name: "gemini-2.5-flash-lite",
        context_tokens: 1_048_576,
        output_tokens: 65_536,
        web_search: 35_000_000_000,
        standard: Scale {
            base: rates([100_000, 10_000, 100_000, 100_000, 300_000, 400_000, 400_000, 400_000]),
            above: &[],
        },
        tiers: &[
            ("flex", Scale {
                base: rates([50_000, 10_000, 50_000, 50_000, 300_000, 200_000, 200_000, 200_000]),
                above: &[],
            }),
            ("priority", Scale {
                base: rates([180_000, 18_000, 180_000, 180_000, 540_000, 720_000, 720_000, 720_000]),
                above: &[],
            }),
        ],
    },
    Model {
        provider: "gemini",
        name: "gemini-2.5-pro",
        context_tokens: 1_048_576,
        output_tokens: 65_536,
        web_search: 35_000_000_000,
        standard: Scale {
            base: rates([1_250_000, 125_000, 1_250_000, 1_250_000, 1_250_000, 10_000_000, 10_000_000, 10_000_000]),
            above: &[
                (200_000, rates([2_500_000, 250_000, 2_500_000, 2_500_000, 2_500_000, 15_000_000, 15_000_000, 15_000_000])),
            ],
        },
        tiers: &[
            ("flex", Scale {
                base: rates([625_000, 125_000, 625_000, 625_000, 625_000, 5_000_000, 5_000_000, 5_000_000]),
                above: &[
                    (200_000, rates([2_500_000, 250_000, 2_500_000, 2_500_000, 2_500_000, 15_000_000, 15_000_000, 15_000_000])),
                ],
            }),
            ("priority", Scale {
                base: rates([2_250_000, 225_000, 2_250_000, 2_250_000, 2_250_000, 18_000_000, 18_000_000, 18_000_000]),
                above: &[
                    (200_000, rates([4_500_000, 450_000, 4_500_000, 4_500_000, 4_500_000, 27_000_000, 27_000_000, 27_000_000])),
                ],
            }),
        ],
    },
    Model {
        provider: "gemini",
        name: "gemini-3-flash-preview",
        context_tokens: 1_048_576,
        output_tokens: 65_536,
        web_search: 14_000_000_000,
        standard: Scale {
            base: rates([500_000, 50_000, 500_000, 500_000, 1_000_000, 3_000_000, 3_000_000, 3_000_000]),
            above: &[],
        },
        tiers: &[
            ("flex", Scale {
                base: rates([250_000, 50_000, 250_000, 250_000, 1_000_000, 1_500_000, 1_500_000, 1_500_000]),
                above: &[],
            }),
            ("priority", Scale {
                base: rates([900_000, 90_000, 900_000, 900_000, 1_800_000, 5_400_000, 5_400_000, 5_400_000]),
                above: &[],
            }),
        ],
    },
    Model {
        provider: "gemini",
        name: "gemini-3.1-flash-lite",
        context_tokens: 1_048_576,
        output_tokens: 65_536,
        web_search: 14_000_000_000,
        standard: Scale {
            base: rates([250_000, 25_000, 250_000, 250_000, 500_000, 1_500_000, 1_500_000, 1_500_000]),
            above: &[],
        },
        tiers: &[
            ("flex", Scale {
                base: rates([125_000, 12_500, 125_000, 125_000, 500_000, 750_000, 750_000, 750_000]),
                above: &[],
            }),
            ("priority", Scale {
                base: rates([450_000, 45_000, 450_000, 450_000, 900_000, 2_700_000, 2_700_000, 2_700_000]),
                above: &[],
            }),
        ],
    },
    Model {
        provider: "gemini",
        name: "gemini-3.1-pro-preview",
        context_tokens: 1_048_576,
        output_tokens: 65_536,
        web_search: 14_000_000_000,
        standard: Scale {
            base: rates([2_000_000, 200_000, 2_000_000, 2_000_000, 2_000_000, 12_000_000, 12_000_000, 12_000_000]),
            above: &[
                (200_000, rates([4_000_000, 400_000, 4_000_000, 4_000_000, 4_000_000, 18_000_000, 18_000_000, 18_000_000])),
            ],
        },
        tiers: &[
            ("flex", Scale {
                base: rates([1_000_000, 200_000, 1_000_000, 1_000_000, 1_000_000, 6_000_000, 6_000_000, 6_000_000]),
                above: &[
                    (200_000, rates([4_000_000, 400_000, 4_000_000, 4_000_000, 4_000_000, 18_000_000, 18_000_000, 18_000_000])),
                ],
            }),
            ("priority", Scale {
                base: rates([3_600_000, 360_000, 3_600_000, 3_600_000, 3_600_000, 21_600_000, 21_600_000, 21_600_000]),
                above: &[
                    (200_000, rates([7_200_000, 720_000, 7_200_000, 7_200_000, 7_200_000, 32_400_000, 32_400_000, 32_400_000])),
                ],
            }),
        ],
    },
    Model {
        provider: "gemini",
        name: "gemini-3.5-flash",
        context_tokens: 1_048_576,
        output_tokens: 65_536,
        web_search: 14_000_000_000,
        standard: Scale {
            base: rates([1_500_000, 150_000, 1_500_000, 1_500_000, 1_500_000, 9_000_000, 9_000_000, 9_000_000]),
            above: &[],
        },
        tiers: &[
            ("flex", Scale {
                base: rates([750_000, 80_000, 750_000, 750_000, 750_000, 4_500_000, 4_500_000, 4_500_000]),
                above: &[],
            }),
            ("priority", Scale {
                base: rates([2_700_000, 270_000, 2_700_000, 2_700_000, 2_700_000, 16_200_000, 16_200_000, 16_200_000]),
                above: &[],
            }),
        ],
    },
    Model {
        provider: "gemini",
        name: "gemini-3.5-flash-lite",
        context_tokens: 1_048_576,
        output_tokens: 65_536,
        web_search: 14_000_000_000,
        standard: Scale {
            base: rates([300_000, 30_000, 300_000, 300_000, 300_000, 2_500_000, 2_500_000, 2_500_000]),
            above: &[],
        },
        tiers: &[
            ("flex", Scale {
                base: rates([150_000, 20_000, 150_000, 150_000, 150_000, 1_250_000, 1_250_000, 1_250_000]),
                above: &[],
            }),
            ("priority", Scale {
                base: rates([540_000, 50_000, 540_000, 540_000, 540_000, 4_500_000, 4_500_000, 4_500_000]),
                above: &[],
            }),
        ],
    },
    Model {
        provider: "gemini",
        name: "gemini-3.6-flash",
        context_tokens: 1_048_576,
        output_tokens: 65_536,
        web_search: 14_000_000_000,
        standard: Scale {
            base: rates([750_000, 75_000, 750_000, 750_000, 750_000, 3_750_000, 3_750_000, 3_750_000]),
            above: &[],
        },
        tiers: &[
            ("flex", Scale {
                base: rates([375_000, 37_500, 375_000, 375_000, 375_000, 1_875_000, 1_875_000, 1_875_000]),
                above: &[],
            }),
            ("priority", Scale {
                base: rates([1_350_000, 135_000, 1_350_000, 1_350_000, 1_350_000, 6_750_000, 6_750_000, 6_750_000]),
                above: &[],
            }),
        ],
    },
    Model {
        provider: "gemini",
        name: "gemini-3.7-flash",
        context_tokens: 1_048_576,
        output_tokens: 65_536,
        web_search: 14_000_000_000,
        standard: Scale {
            base: rates([750_000, 75_000, 750_000, 750_000, 750_000, 3_750_000, 3_750_000, 3_750_000]),
            above: &[],
        },
        tiers: &[
            ("flex", Scale {
                base: rates([375_000, 37_500, 375_000, 375_000, 375_000, 1_875_000, 1_875_000, 1_875_000]),
                above: &[],
            }),
            ("priority", Scale {
                base: rates([1_350_000, 135_000, 1_350_000, 1_350_000, 1_350_000, 6_750_000, 6_750_000, 6_750_000]),
                above: &[],
            }),
        ],
    },
    Model {
        provider: "gemini",
        name: "gemini-3.8-flash",
        context_tokens: 1_048_576,
        output_tokens: 65_536,
        web_search: 14_000_000_000,
        standard: Scale {
            base: rates([750_000, 75_000, 750_000, 750_000, 750_000, 3_750_000, 3_750_000, 3_750_000]),
            above: &[],
        },
        tiers: &[
            ("flex", Scale {
                base: rates([375_000, 37_500, 375_000, 375_000, 375_000, 1_875_000, 1_875_000, 1_875_000]),
                above: &[],
            }),
            ("priority", Scale {
                base: rates([1_350_000, 135_000, 1_350_000, 1_350_000, 1_350_000, 6_750_000, 6_750_000, 6_750_000]),
                above: &[],
            }),
        ],
    },
    Model {
        provider: "gemini",
        name: "gemini-4-argon",
        context_tokens: 1_048_576,
        output_tokens: 1_048_576,
        web_search: 14_000_000_000,
        standard: Scale {
            base: rates([2_000_000, 100_000, 2_000_000, 2_000_000, 2_000_000, 10_000_000, 10_000_000, 10_000_000]),
            above: &[],
        },
        tiers: &[
            ("flex", Scale {
                base: rates([1_000_000, 50_000, 1_000_000, 1_000_000, 1_000_000, 5_000_000, 5_000_000, 5_000_000]),
                above: &[],
            }),
            ("priority", Scale {
                base: rates([3_600_000, 180_000, 3_600_000, 3_600_000, 3_600_000, 18_000_000, 18_000_000, 18_000_000]),
                above: &[],
            }),
        ],
    },
    Model {
        provider: "gemini",
        name: "gemini-embedding-001",
        context_tokens: 2_048,
        output_tokens: 0,
        web_search: 0,
        standard: Scale {
            base: rates([150_000, 150_000, 150_000, 150_000, 150_000, 0, 0, 0]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "gemini",
        name: "gemini-flash-latest",
        context_tokens: 1_048_576,
        output_tokens: 65_536,
        web_search: 14_000_000_000,
        standard: Scale {
            base: rates([750_000, 75_000, 750_000, 750_000, 750_000, 3_750_000, 3_750_000, 3_750_000]),
            above: &[],
        },
        tiers: &[
            ("flex", Scale {
                base: rates([375_000, 37_500, 375_000, 375_000, 375_000, 1_875_000, 1_875_000, 1_875_000]),
                above: &[],
            }),
            ("priority", Scale {
                base: rates([1_350_000, 135_000, 1_350_000, 1_350_000, 1_350_000, 6_750_000, 6_750_000, 6_750_000]),
                above: &[],
            }),
        ],
    },
    Model {
        provider: "gemini",
        name: "gemini-flash-lite-latest",
        context_tokens: 1_048_576,
        output_tokens: 65_536,
        web_search: 14_000_000_000,
        standard: Scale {
            base: rates([300_000, 30_000, 300_000, 300_000, 300_000, 2_500_000, 2_500_000, 2_500_000]),
            above: &[],
        },
        tiers: &[
            ("flex", Scale {
                base: rates([150_000, 20_000, 150_000, 150_000, 150_000, 1_250_000, 1_250_000, 1_250_000]),
                above: &[],
            }),
            ("priority", Scale {
                base: rates([540_000, 50_000, 540_000, 540_000, 540_000, 4_500_000, 4_500_000, 4_500_000]),
                above: &[],
            }),
        ],
    },
    Model {
        provider: "gemini",
        name: "gemini-pro-latest",
        context_tokens: 1_048_576,
        output_tokens: 65_536,
        web_search: 14_000_000_000,
        standard: Scale {
            base: rates([2_000_000, 200_000, 2_000_000, 2_000_000, 2_000_000, 12_000_000, 12_000_000, 12_000_000]),
            above: &[
                (200_000, rates([4_000_000, 400_000, 4_000_000, 4_000_000, 4_000_000, 18_000_000, 18_000_000, 18_000_000])),
            ],
        },
        tiers: &[
            ("flex", Scale {
                base: rates([1_000_000, 200_000, 1_000_000, 1_000_000, 1_000_000, 6_000_000, 6_000_000, 6_000_000]),
                above: &[
                    (200_000, rates([4_000_000, 400_000, 4_000_000, 4_000_000, 4_000_000, 18_000_000, 18_000_000, 18_000_000])),
                ],
            }),
            ("priority", Scale {
                base: rates([3_600_000, 360_000, 3_600_000, 3_600_000, 3_600_000, 21_600_000, 21_600_000, 21_600_000]),
                above: &[
                    (200_000, rates([7_200_000, 720_000, 7_200_000, 7_200_000, 7_200_000, 32_400_000, 32_400_000, 32_400_000])),
                ],
            }),
        ],
    },
    Model {
        provider: "groq",
        name: "openai/gpt-oss-120b",
        context_tokens: 131_072,
        output_tokens: 65_536,
        web_search: 5_000_000_000,
        standard: Scale {
            base: rates([150_000, 75_000, 150_000, 150_000, 150_000, 600_000, 600_000, 600_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "groq",
        name: "openai/gpt-oss-20b",
        context_tokens: 131_072,
        output_tokens: 65_536,
        web_search: 5_000_000_000,
        standard: Scale {
            base: rates([75_000, 37_500, 75_000, 75_000, 75_000, 300_000, 300_000, 300_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "groq",
        name: "qwen/qwen3.8-27b",
        context_tokens: 131_072,
        output_tokens: 16_384,
        web_search: 0,
        standard: Scale {
            base: rates([800_000, 800_000, 800_000, 800_000, 800_000, 4_000_000, 4_000_000, 4_000_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "mistral",
        name: "codestral-embed",
        context_tokens: 8_192,
        output_tokens: 0,
        web_search: 0,
        standard: Scale {
            base: rates([150_000, 15_000, 150_000, 150_000, 150_000, 0, 0, 0]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "mistral",
        name: "codestral-latest",
        context_tokens: 128_000,
        output_tokens: 128_000,
        web_search: 0,
        standard: Scale {
            base: rates([300_000, 30_000, 300_000, 300_000, 300_000, 900_000, 900_000, 900_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "mistral",
        name: "devstral-latest",
        context_tokens: 256_000,
        output_tokens: 256_000,
        web_search: 0,
        standard: Scale {
            base: rates([400_000, 40_000, 400_000, 400_000, 400_000, 2_000_000, 2_000_000, 2_000_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "mistral",
        name: "magistral-medium-latest",
        context_tokens: 262_144,
        output_tokens: 262_144,
        web_search: 0,
        standard: Scale {
            base: rates([1_500_000, 150_000, 1_500_000, 1_500_000, 1_500_000, 7_500_000, 7_500_000, 7_500_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "mistral",
        name: "magistral-small-latest",
        context_tokens: 262_144,
        output_tokens: 262_144,
        web_search: 0,
        standard: Scale {
            base: rates([150_000, 15_000, 150_000, 150_000, 150_000, 600_000, 600_000, 600_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "mistral",
        name: "ministral-14b-latest",
        context_tokens: 262_144,
        output_tokens: 262_144,
        web_search: 0,
        standard: Scale {
            base: rates([200_000, 20_000, 200_000, 200_000, 200_000, 200_000, 200_000, 200_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "mistral",
        name: "ministral-3b-latest",
        context_tokens: 131_072,
        output_tokens: 131_072,
        web_search: 0,
        standard: Scale {
            base: rates([100_000, 10_000, 100_000, 100_000, 100_000, 100_000, 100_000, 100_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "mistral",
        name: "ministral-8b-latest",
        context_tokens: 262_144,
        output_tokens: 262_144,
        web_search: 0,
        standard: Scale {
            base: rates([150_000, 15_000, 150_000, 150_000, 150_000, 150_000, 150_000, 150_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "mistral",
        name: "mistral-embed",
        context_tokens: 8_192,
        output_tokens: 0,
        web_search: 0,
        standard: Scale {
            base: rates([100_000, 100_000, 100_000, 100_000, 100_000, 0, 0, 0]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "mistral",
        name: "mistral-large-2512",
        context_tokens: 262_144,
        output_tokens: 262_144,
        web_search: 0,
        standard: Scale {
            base: rates([500_000, 50_000, 500_000, 500_000, 500_000, 1_500_000, 1_500_000, 1_500_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "mistral",
        name: "mistral-large-4",
        context_tokens: 1_048_576,
        output_tokens: 1_048_576,
        web_search: 0,
        standard: Scale {
            base: rates([680_000, 68_000, 680_000, 680_000, 680_000, 2_090_000, 2_090_000, 2_090_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "mistral",
        name: "mistral-large-latest",
        context_tokens: 262_144,
        output_tokens: 262_144,
        web_search: 0,
        standard: Scale {
            base: rates([500_000, 50_000, 500_000, 500_000, 500_000, 1_500_000, 1_500_000, 1_500_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "mistral",
        name: "mistral-medium-latest",
        context_tokens: 262_144,
        output_tokens: 262_144,
        web_search: 0,
        standard: Scale {
            base: rates([1_500_000, 150_000, 1_500_000, 1_500_000, 1_500_000, 7_500_000, 7_500_000, 7_500_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "mistral",
        name: "mistral-small-latest",
        context_tokens: 262_144,
        output_tokens: 262_144,
        web_search: 0,
        standard: Scale {
            base: rates([150_000, 15_000, 150_000, 150_000, 150_000, 600_000, 600_000, 600_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "openai",
        name: "gpt-4.1",
        context_tokens: 1_047_576,
        output_tokens: 32_768,
        web_search: 25_000_000_000,
        standard: Scale {
            base: rates([2_000_000, 500_000, 2_000_000, 2_000_000, 2_000_000, 8_000_000, 8_000_000, 8_000_000]),
            above: &[],
        },
        tiers: &[
            ("priority", Scale {
                base: rates([3_500_000, 875_000, 3_500_000, 3_500_000, 3_500_000, 14_000_000, 14_000_000, 14_000_000]),
                above: &[],
            }),
        ],
    },
    Model {
        provider: "openai",
        name: "gpt-4.1-mini",
        context_tokens: 1_047_576,
        output_tokens: 32_768,
        web_search: 25_000_000_000,
        standard: Scale {
            base: rates([400_000, 100_000, 400_000, 400_000, 400_000, 1_600_000, 1_600_000, 1_600_000]),
            above: &[],
        },
        tiers: &[
            ("priority", Scale {
                base: rates([700_000, 175_000, 700_000, 700_000, 700_000, 2_800_000, 2_800_000, 2_800_000]),
                above: &[],
            }),
        ],
    },
    Model {
        provider: "openai",
        name: "gpt-4o",
        context_tokens: 128_000,
        output_tokens: 16_384,
        web_search: 0,
        standard: Scale {
            base: rates([2_500_000, 1_250_000, 2_500_000, 2_500_000, 2_500_000, 10_000_000, 10_000_000, 10_000_000]),
            above: &[],
        },
        tiers: &[
            ("priority", Scale {
                base: rates([4_250_000, 2_125_000, 4_250_000, 4_250_000, 4_250_000, 17_000_000, 17_000_000, 17_000_000]),
                above: &[],
            }),
        ],
    },
    Model {
        provider: "openai",
        name: "gpt-4o-2024-05-13",
        context_tokens: 128_000,
        output_tokens: 4_096,
        web_search: 0,
        standard: Scale {
            base: rates([5_000_000, 5_000_000, 5_000_000, 5_000_000, 5_000_000, 15_000_000, 15_000_000, 15_000_000]),
            above: &[],
        },
        tiers: &[
            ("priority", Scale {
                base: rates([8_750_000, 8_750_000, 8_750_000, 8_750_000, 8_750_000, 26_250_000, 26_250_000, 26_250_000]),
                above: &[],
            }),
        ],
    },
    Model {
        provider: "openai",
        name: "gpt-4o-mini",
        context_tokens: 128_000,
        output_tokens: 16_384,
        web_search: 25_000_000_000,
        standard: Scale {
            base: rates([150_000, 75_000, 150_000, 150_000, 150_000, 600_000, 600_000, 600_000]),
            above: &[],
        },
        tiers: &[
            ("priority", Scale {
                base: rates([250_000, 125_000, 250_000, 250_000, 250_000, 1_000_000, 1_000_000, 1_000_000]),
                above: &[],
            }),
        ],
    },
    Model {
        provider: "openai",
        name: "gpt-5",
        context_tokens: 272_000,
        output_tokens: 128_000,
        web_search: 10_000_000_000,
        standard: Scale {
            base: rates([1_250_000, 125_000, 1_250_000, 1_250_000, 1_250_000, 10_000_000, 10_000_000, 10_000_000]),
            above: &[],
        },
        tiers: &[
            ("flex", Scale {
                base: rates([625_000, 62_500, 625_000, 625_000, 625_000, 5_000_000, 5_000_000, 5_000_000]),
                above: &[],
            }),
            ("priority", Scale {
                base: rates([2_500_000, 250_000, 2_500_000, 2_500_000, 2_500_000, 20_000_000, 20_000_000, 20_000_000]),
                above: &[],
            }),
        ],
    },
    Model {
        provider: "openai",
        name: "gpt-5-mini",
        context_tokens: 272_000,
        output_tokens: 128_000,
        web_search: 10_000_000_000,
        standard: Scale {
            base: rates([250_000, 25_000, 250_000, 250_000, 250_000, 2_000_000, 2_000_000, 2_000_000]),
            above: &[],
        },
        tiers: &[
            ("flex", Scale {
                base: rates([125_000, 12_500, 125_000, 125_000, 125_000, 1_000_000, 1_000_000, 1_000_000]),
                above: &[],
            }),
            ("priority", Scale {
                base: rates([450_000, 45_000, 450_000, 450_000, 450_000, 3_600_000, 3_600_000, 3_600_000]),
                above: &[],
            }),
        ],
    },
    Model {
        provider: "openai",
        name: "gpt-5-nano",
        context_tokens: 272_000,
        output_tokens: 128_000,
        web_search: 10_000_000_000,
        standard: Scale {
            base: rates([50_000, 5_000, 50_000, 50_000, 50_000, 400_000, 400_000, 400_000]),
            above: &[],
        },
        tiers: &[
            ("flex", Scale {
                base: rates([25_000, 2_500, 25_000, 25_000, 25_000, 200_000, 200_000, 200_000]),
                above: &[],
            }),
        ],
    },
    Model {
        provider: "openai",
        name: "gpt-5-pro",
        context_tokens: 400_000,
        output_tokens: 272_000,
        web_search: 10_000_000_000,
        standard: Scale {
            base: rates([15_000_000, 15_000_000, 15_000_000, 15_000_000, 15_000_000, 120_000_000, 120_000_000, 120_000_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "openai",
        name: "gpt-5.1",
        context_tokens: 272_000,
        output_tokens: 128_000,
        web_search: 10_000_000_000,
        standard: Scale {
            base: rates([1_250_000, 125_000, 1_250_000, 1_250_000, 1_250_000, 10_000_000, 10_000_000, 10_000_000]),
            above: &[],
        },
        tiers: &[
            ("flex", Scale {
                base: rates([625_000, 62_500, 625_000, 625_000, 625_000, 5_000_000, 5_000_000, 5_000_000]),
                above: &[],
            }),
            ("priority", Scale {
                base: rates([2_500_000, 250_000, 2_500_000, 2_500_000, 2_500_000, 20_000_000, 20_000_000, 20_000_000]),
                above: &[],
            }),
        ],
    },
    Model {
        provider: "openai",
        name: "gpt-5.2",
        context_tokens: 272_000,
        output_tokens: 128_000,
        web_search: 10_000_000_000,
        standard: Scale {
            base: rates([1_750_000, 175_000, 1_750_000, 1_750_000, 1_750_000, 14_000_000, 14_000_000, 14_000_000]),
            above: &[],
        },
        tiers: &[
            ("flex", Scale {
                base: rates([875_000, 87_500, 875_000, 875_000, 875_000, 7_000_000, 7_000_000, 7_000_000]),
                above: &[],
            }),
            ("priority", Scale {
                base: rates([3_500_000, 350_000, 3_500_000, 3_500_000, 3_500_000, 28_000_000, 28_000_000, 28_000_000]),
                above: &[],
            }),
        ],
    },
    Model {
        provider: "openai",
        name: "gpt-5.2-pro",
        context_tokens: 272_000,
        output_tokens: 128_000,
        web_search: 10_000_000_000,
        standard: Scale {
            base: rates([21_000_000, 21_000_000, 21_000_000, 21_000_000, 21_000_000, 168_000_000, 168_000_000, 168_000_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "openai",
        name: "gpt-5.3-codex",
        context_tokens: 272_000,
        output_tokens: 128_000,
        web_search: 10_000_000_000,
        standard: Scale {
            base: rates([1_750_000, 175_000, 1_750_000, 1_750_000, 1_750_000, 14_000_000, 14_000_000, 14_000_000]),
            above: &[],
        },
        tiers: &[
            ("priority", Scale {
                base: rates([3_500_000, 350_000, 3_500_000, 3_500_000, 3_500_000, 28_000_000, 28_000_000, 28_000_000]),
                above: &[],
            }),
        ],
    },
    Model {
        provider: "openai",
        name: "gpt-5.4",
        context_tokens: 1_050_000,
        output_tokens: 128_000,
        web_search: 0,
        standard: Scale {
            base: rates([2_500_000, 250_000, 2_500_000, 2_500_000, 2_500_000, 15_000_000, 15_000_000, 15_000_000]),
            above: &[
                (272_000, rates([5_000_000, 500_000, 5_000_000, 5_000_000, 5_000_000, 22_500_000, 22_500_000, 22_500_000])),
            ],
        },
        tiers: &[
            ("flex", Scale {
                base: rates([1_250_000, 130_000, 1_250_000, 1_250_000, 1_250_000, 7_500_000, 7_500_000, 7_500_000]),
                above: &[
                    (272_000, rates([2_500_000, 250_000, 2_500_000, 2_500_000, 2_500_000, 11_250_000, 11_250_000, 11_250_000])),
                ],
            }),
            ("priority", Scale {
                base: rates([5_000_000, 500_000, 5_000_000, 5_000_000, 5_000_000, 30_000_000, 30_000_000, 30_000_000]),
                above: &[],
            }),
        ],
    },
    Model {
        provider: "openai",
        name: "gpt-5.4-mini",
        context_tokens: 272_000,
        output_tokens: 128_000,
        web_search: 10_000_000_000,
        standard: Scale {
            base: rates([750_000, 75_000, 750_000, 750_000, 750_000, 4_500_000, 4_500_000, 4_500_000]),
            above: &[],
        },
        tiers: &[
            ("flex", Scale {
                base: rates([375_000, 37_500, 375_000, 375_000, 375_000, 2_250_000, 2_250_000, 2_250_000]),
                above: &[],
            }),
            ("priority", Scale {
                base: rates([1_500_000, 150_000, 1_500_000, 1_500_000, 1_500_000, 9_000_000, 9_000_000, 9_000_000]),
                above: &[],
            }),
        ],
    },
    Model {
        provider: "openai",
        name: "gpt-5.4-nano",
        context_tokens: 272_000,
        output_tokens: 128_000,
        web_search: 10_000_000_000,
        standard: Scale {
            base: rates([200_000, 20_000, 200_000, 200_000, 200_000, 1_250_000, 1_250_000, 1_250_000]),
            above: &[],
        },
        tiers: &[
            ("flex", Scale {
                base: rates([100_000, 10_000, 100_000, 100_000, 100_000, 625_000, 625_000, 625_000]),
                above: &[],
            }),
        ],
    },
    Model {
        provider: "openai",
        name: "gpt-5.4-pro",
        context_tokens: 1_050_000,
        output_tokens: 128_000,
        web_search: 10_000_000_000,
        standard: Scale {
            base: rates([30_000_000, 30_000_000, 30_000_000, 30_000_000, 30_000_000, 180_000_000, 180_000_000, 180_000_000]),
            above: &[
                (272_000, rates([60_000_000, 60_000_000, 60_000_000, 60_000_000, 60_000_000, 270_000_000, 270_000_000, 270_000_000])),
            ],
        },
        tiers: &[
            ("flex", Scale {
                base: rates([15_000_000, 15_000_000, 15_000_000, 15_000_000, 15_000_000, 90_000_000, 90_000_000, 90_000_000]),
                above: &[
                    (272_000, rates([30_000_000, 30_000_000, 30_000_000, 30_000_000, 30_000_000, 135_000_000, 135_000_000, 135_000_000])),
                ],
            }),
        ],
    },
    Model {
        provider: "openai",
        name: "gpt-5.5",
        context_tokens: 1_050_000,
        output_tokens: 128_000,
        web_search: 10_000_000_000,
        standard: Scale {
            base: rates([5_000_000, 500_000, 5_000_000, 5_000_000, 5_000_000, 30_000_000, 30_000_000, 30_000_000]),
            above: &[
                (272_000, rates([10_000_000, 1_000_000, 10_000_000, 10_000_000, 10_000_000, 45_000_000, 45_000_000, 45_000_000])),
            ],
        },
        tiers: &[
            ("flex", Scale {
                base: rates([2_500_000, 250_000, 2_500_000, 2_500_000, 2_500_000, 15_000_000, 15_000_000, 15_000_000]),
                above: &[
                    (272_000, rates([5_000_000, 500_000, 5_000_000, 5_000_000, 5_000_000, 22_500_000, 22_500_000, 22_500_000])),
                ],
            }),
            ("priority", Scale {
                base: rates([12_500_000, 1_250_000, 12_500_000, 12_500_000, 12_500_000, 75_000_000, 75_000_000, 75_000_000]),
                above: &[],
            }),
        ],
    },
    Model {
        provider: "openai",
        name: "gpt-5.5-pro",
        context_tokens: 1_050_000,
        output_tokens: 128_000,
        web_search: 10_000_000_000,
        standard: Scale {
            base: rates([30_000_000, 30_000_000, 30_000_000, 30_000_000, 30_000_000, 180_000_000, 180_000_000, 180_000_000]),
            above: &[
                (272_000, rates([60_000_000, 60_000_000, 60_000_000, 60_000_000, 60_000_000, 270_000_000, 270_000_000, 270_000_000])),
            ],
        },
        tiers: &[
            ("flex", Scale {
                base: rates([15_000_000, 15_000_000, 15_000_000, 15_000_000, 15_000_000, 90_000_000, 90_000_000, 90_000_000]),
                above: &[
                    (272_000, rates([60_000_000, 60_000_000, 60_000_000, 60_000_000, 60_000_000, 270_000_000, 270_000_000, 270_000_000])),
                ],
            }),
        ],
    },
    Model {
        provider: "openai",
        name: "gpt-5.6",
        context_tokens: 922_000,
        output_tokens: 128_000,
        web_search: 10_000_000_000,
        standard: Scale {
            base: rates([4_000_000, 400_000, 5_000_000, 5_000_000, 4_000_000, 20_000_000, 20_000_000, 20_000_000]),
            above: &[
                (272_000, rates([8_000_000, 800_000, 10_000_000, 10_000_000, 8_000_000, 30_000_000, 30_000_000, 30_000_000])),
            ],
        },
        tiers: &[
            ("flex", Scale {
                base: rates([2_000_000, 200_000, 2_500_000, 2_500_000, 2_000_000, 10_000_000, 10_000_000, 10_000_000]),
                above: &[
                    (272_000, rates([4_000_000, 400_000, 5_000_000, 5_000_000, 4_000_000, 15_000_000, 15_000_000, 15_000_000])),
                ],
            }),
            ("priority", Scale {
                base: rates([8_000_000, 800_000, 10_000_000, 10_000_000, 8_000_000, 40_000_000, 40_000_000, 40_000_000]),
                above: &[
                    (272_000, rates([16_000_000, 1_600_000, 20_000_000, 20_000_000, 16_000_000, 60_000_000, 60_000_000, 60_000_000])),
                ],
            }),
        ],
    },
    Model {
        provider: "openai",
        name: "gpt-5.6-luna",
        context_tokens: 922_000,
        output_tokens: 128_000,
        web_search: 10_000_000_000,
        standard: Scale {
            base: rates([200_000, 20_000, 250_000, 250_000, 200_000, 1_200_000, 1_200_000, 1_200_000]),
            above: &[
                (272_000, rates([400_000, 40_000, 500_000, 500_000, 400_000, 1_800_000, 1_800_000, 1_800_000])),
            ],
        },
        tiers: &[
            ("flex", Scale {
                base: rates([100_000, 10_000, 125_000, 125_000, 100_000, 600_000, 600_000, 600_000]),
                above: &[
                    (272_000, rates([200_000, 20_000, 250_000, 250_000, 200_000, 900_000, 900_000, 900_000])),
                ],
            }),
            ("priority", Scale {
                base: rates([400_000, 40_000, 500_000, 500_000, 400_000, 2_400_000, 2_400_000, 2_400_000]),
                above: &[
                    (272_000, rates([800_000, 80_000, 1_000_000, 1_000_000, 800_000, 3_600_000, 3_600_000, 3_600_000])),
                ],
            }),
        ],
    },
    Model {
        provider: "openai",
        name: "gpt-5.6-sol",
        context_tokens: 922_000,
        output_tokens: 128_000,
        web_search: 10_000_000_000,
        standard: Scale {
            base: rates([4_000_000, 400_000, 5_000_000, 5_000_000, 4_000_000, 20_000_000, 20_000_000, 20_000_000]),
            above: &[
                (272_000, rates([8_000_000, 800_000, 10_000_000, 10_000_000, 8_000_000, 30_000_000, 30_000_000, 30_000_000])),
            ],
        },
        tiers: &[
            ("flex", Scale {
                base: rates([2_000_000, 200_000, 2_500_000, 2_500_000, 2_000_000, 10_000_000, 10_000_000, 10_000_000]),
                above: &[
                    (272_000, rates([4_000_000, 400_000, 5_000_000, 5_000_000, 4_000_000, 15_000_000, 15_000_000, 15_000_000])),
                ],
            }),
            ("priority", Scale {
                base: rates([8_000_000, 800_000, 10_000_000, 10_000_000, 8_000_000, 40_000_000, 40_000_000, 40_000_000]),
                above: &[
                    (272_000, rates([16_000_000, 1_600_000, 20_000_000, 20_000_000, 16_000_000, 60_000_000, 60_000_000, 60_000_000])),
                ],
            }),
        ],
    },
    Model {
        provider: "openai",
        name: "gpt-5.6-terra",
        context_tokens: 922_000,
        output_tokens: 128_000,
        web_search: 10_000_000_000,
        standard: Scale {
            base: rates([2_000_000, 200_000, 2_500_000, 2_500_000, 2_000_000, 12_000_000, 12_000_000, 12_000_000]),
            above: &[
                (272_000, rates([4_000_000, 400_000, 5_000_000, 5_000_000, 4_000_000, 18_000_000, 18_000_000, 18_000_000])),
            ],
        },
        tiers: &[
            ("flex", Scale {
                base: rates([1_000_000, 100_000, 1_250_000, 1_250_000, 1_000_000, 6_000_000, 6_000_000, 6_000_000]),
                above: &[
                    (272_000, rates([2_000_000, 200_000, 2_500_000, 2_500_000, 2_000_000, 9_000_000, 9_000_000, 9_000_000])),
                ],
            }),
            ("priority", Scale {
                base: rates([4_000_000, 400_000, 5_000_000, 5_000_000, 4_000_000, 24_000_000, 24_000_000, 24_000_000]),
                above: &[
                    (272_000, rates([8_000_000, 800_000, 10_000_000, 10_000_000, 8_000_000, 36_000_000, 36_000_000, 36_000_000])),
                ],
            }),
        ],
    },
    Model {
        provider: "openai",
        name: "gpt-6-astra",
        context_tokens: 922_000,
        output_tokens: 128_000,
        web_search: 10_000_000_000,
        standard: Scale {
            base: rates([10_000_000, 1_000_000, 12_500_000, 12_500_000, 10_000_000, 50_000_000, 50_000_000, 50_000_000]),
            above: &[
                (272_000, rates([20_000_000, 2_000_000, 25_000_000, 25_000_000, 20_000_000, 75_000_000, 75_000_000, 75_000_000])),
            ],
        },
        tiers: &[
            ("flex", Scale {
                base: rates([5_000_000, 500_000, 6_250_000, 6_250_000, 5_000_000, 25_000_000, 25_000_000, 25_000_000]),
                above: &[
                    (272_000, rates([10_000_000, 1_000_000, 12_500_000, 12_500_000, 10_000_000, 37_500_000, 37_500_000, 37_500_000])),
                ],
            }),
            ("priority", Scale {
                base: rates([20_000_000, 2_000_000, 25_000_000, 25_000_000, 20_000_000, 100_000_000, 100_000_000, 100_000_000]),
                above: &[
                    (272_000, rates([40_000_000, 4_000_000, 50_000_000, 50_000_000, 40_000_000, 150_000_000, 150_000_000, 150_000_000])),
                ],
            }),
            ("ultrafast", Scale {
                base: rates([60_000_000, 6_000_000, 75_000_000, 75_000_000, 60_000_000, 300_000_000, 300_000_000, 300_000_000]),
                above: &[
                    (272_000, rates([120_000_000, 12_000_000, 150_000_000, 150_000_000, 120_000_000, 450_000_000, 450_000_000, 450_000_000])),
                ],
            }),
        ],
    },
    Model {
        provider: "openai",
        name: "gpt-6-luna",
        context_tokens: 922_000,
        output_tokens: 128_000,
        web_search: 10_000_000_000,
        standard: Scale {
            base: rates([100_000, 10_000, 125_000, 125_000, 100_000, 500_000, 500_000, 500_000]),
            above: &[
                (272_000, rates([200_000, 20_000, 250_000, 250_000, 200_000, 750_000, 750_000, 750_000])),
            ],
        },
        tiers: &[
            ("flex", Scale {
                base: rates([50_000, 5_000, 62_500, 62_500, 50_000, 250_000, 250_000, 250_000]),
                above: &[
                    (272_000, rates([100_000, 10_000, 125_000, 125_000, 100_000, 375_000, 375_000, 375_000])),
                ],
            }),
            ("priority", Scale {
                base: rates([200_000, 20_000, 250_000, 250_000, 200_000, 1_000_000, 1_000_000, 1_000_000]),
                above: &[
                    (272_000, rates([400_000, 40_000, 500_000, 500_000, 400_000, 1_500_000, 1_500_000, 1_500_000])),
                ],
            }),
        ],
    },
    Model {
        provider: "openai",
        name: "gpt-6-sol",
        context_tokens: 922_000,
        output_tokens: 128_000,
        web_search: 10_000_000_000,
        standard: Scale {
            base: rates([2_000_000, 200_000, 2_500_000, 2_500_000, 2_000_000, 10_000_000, 10_000_000, 10_000_000]),
            above: &[
                (272_000, rates([4_000_000, 400_000, 5_000_000, 5_000_000, 4_000_000, 15_000_000, 15_000_000, 15_000_000])),
            ],
        },
        tiers: &[
            ("flex", Scale {
                base: rates([1_000_000, 100_000, 1_250_000, 1_250_000, 1_000_000, 5_000_000, 5_000_000, 5_000_000]),
                above: &[
                    (272_000, rates([2_000_000, 200_000, 2_500_000, 2_500_000, 2_000_000, 7_500_000, 7_500_000, 7_500_000])),
                ],
            }),
            ("priority", Scale {
                base: rates([4_000_000, 400_000, 5_000_000, 5_000_000, 4_000_000, 20_000_000, 20_000_000, 20_000_000]),
                above: &[
                    (272_000, rates([8_000_000, 800_000, 10_000_000, 10_000_000, 8_000_000, 30_000_000, 30_000_000, 30_000_000])),
                ],
            }),
        ],
    },
    Model {
        provider: "openai",
        name: "gpt-6.1-sol",
        context_tokens: 922_000,
        output_tokens: 128_000,
        web_search: 10_000_000_000,
        standard: Scale {
            base: rates([2_000_000, 100_000, 2_500_000, 2_500_000, 2_000_000, 10_000_000, 10_000_000, 10_000_000]),
            above: &[
                (272_000, rates([4_000_000, 200_000, 5_000_000, 5_000_000, 4_000_000, 15_000_000, 15_000_000, 15_000_000])),
            ],
        },
        tiers: &[
            ("flex", Scale {
                base: rates([1_000_000, 50_000, 1_250_000, 1_250_000, 1_000_000, 5_000_000, 5_000_000, 5_000_000]),
                above: &[
                    (272_000, rates([2_000_000, 100_000, 2_500_000, 2_500_000, 2_000_000, 7_500_000, 7_500_000, 7_500_000])),
                ],
            }),
            ("priority", Scale {
                base: rates([4_000_000, 200_000, 5_000_000, 5_000_000, 4_000_000, 20_000_000, 20_000_000, 20_000_000]),
                above: &[
                    (272_000, rates([8_000_000, 400_000, 10_000_000, 10_000_000, 8_000_000, 30_000_000, 30_000_000, 30_000_000])),
                ],
            }),
            ("ultrafast", Scale {
                base: rates([12_000_000, 600_000, 15_000_000, 15_000_000, 12_000_000, 60_000_000, 60_000_000, 60_000_000]),
                above: &[
                    (272_000, rates([24_000_000, 1_200_000, 30_000_000, 30_000_000, 24_000_000, 90_000_000, 90_000_000, 90_000_000])),
                ],
            }),
        ],
    },
    Model {
        provider: "openai",
        name: "gpt-audio",
        context_tokens: 128_000,
        output_tokens: 16_384,
        web_search: 0,
        standard: Scale {
            base: rates([2_500_000, 2_500_000, 2_500_000, 2_500_000, 32_000_000, 10_000_000, 10_000_000, 64_000_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "openai",
        name: "gpt-audio-1.5",
        context_tokens: 128_000,
        output_tokens: 16_384,
        web_search: 0,
        standard: Scale {
            base: rates([2_500_000, 2_500_000, 2_500_000, 2_500_000, 32_000_000, 10_000_000, 10_000_000, 64_000_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "openai",
        name: "gpt-audio-mini",
        context_tokens: 128_000,
        output_tokens: 16_384,
        web_search: 0,
        standard: Scale {
            base: rates([600_000, 600_000, 600_000, 600_000, 10_000_000, 2_400_000, 2_400_000, 20_000_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "openai",
        name: "o3",
        context_tokens: 200_000,
        output_tokens: 100_000,
        web_search: 10_000_000_000,
        standard: Scale {
            base: rates([2_000_000, 500_000, 2_000_000, 2_000_000, 2_000_000, 8_000_000, 8_000_000, 8_000_000]),
            above: &[],
        },
        tiers: &[
            ("flex", Scale {
                base: rates([1_000_000, 250_000, 1_000_000, 1_000_000, 1_000_000, 4_000_000, 4_000_000, 4_000_000]),
                above: &[],
            }),
            ("priority", Scale {
                base: rates([3_500_000, 875_000, 3_500_000, 3_500_000, 3_500_000, 14_000_000, 14_000_000, 14_000_000]),
                above: &[],
            }),
        ],
    },
    Model {
        provider: "openai",
        name: "o3-pro",
        context_tokens: 200_000,
        output_tokens: 100_000,
        web_search: 10_000_000_000,
        standard: Scale {
            base: rates([20_000_000, 20_000_000, 20_000_000, 20_000_000, 20_000_000, 80_000_000, 80_000_000, 80_000_000]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "openai",
        name: "text-embedding-3-large",
        context_tokens: 8_191,
        output_tokens: 0,
        web_search: 0,
        standard: Scale {
            base: rates([130_000, 130_000, 130_000, 130_000, 130_000, 0, 0, 0]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "openai",
        name: "text-embedding-3-small",
        context_tokens: 8_191,
        output_tokens: 0,
        web_search: 0,
        standard: Scale {
            base: rates([20_000, 20_000, 20_000, 20_000, 20_000, 0, 0, 0]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "openai",
        name: "text-embedding-ada-002",
        context_tokens: 8_191,
        output_tokens: 0,
        web_search: 0,
        standard: Scale {
            base: rates([100_000, 100_000, 100_000, 100_000, 100_000, 0, 0, 0]),
            above: &[],
        },
        tiers: &[],
    },
    Model {
        provider: "xai",
        name: "grok-4.20-non-reasoning",
        context_tokens: 1_000_000,
        output_tokens: 1_000_000,
        web_search: 0,
        standard: Scale {
            base: rates([1_250_000, 200_000, 1_250_000, 1_250_000, 1_250_000, 2_500_000, 2_500_000, 2_500_000]),
            above: &[
                (200_000, rates([2_500_000, 400_000, 2_500_000, 2_500_000, 2_500_000, 5_000_000, 5_000_000, 5_000_000])),
            ],
        },
        tiers: &[],
    },
    Model {
        provider: "xai",
        name: "grok-4.20-reasoning",
        context_tokens: 1_000_000,
        output_tokens: 1_000_000,
        web_search: 0,
        standard: Scale {
            base: rates([1_250_000, 200_000, 1_250_000, 1_250_000, 1_250_000, 2_500_000, 2_500_000, 2_500_000]),
            above: &[
                (200_000, rates([2_500_000, 400_000, 2_500_000, 2_500_000, 2_500_000, 5_000_000, 5_000_000, 5_000_000])),
            ],
        },
        tiers: &[],
    },
    Model {
        provider: "xai",
        name: "grok-4.3",
        context_tokens: 1_000_000,
        output_tokens: 1_000_000,
        web_search: 0,
        standard: Scale {
            base: rates([1_250_000, 200_000, 1_250_000, 1_250_000, 1_250_000, 2_500_000, 2_500_000, 2_500_000]),
            above: &[
                (200_000, rates([2_500_000, 400_000, 2_500_000, 2_500_000, 2_500_000, 5_000_000, 5_000_000, 5_000_000])),
            ],
        },
        tiers: &[],
    },
    Model {
        provider: "xai",
        name: "grok-4.5",
        context_tokens: 500_000,
        output_tokens: 500_000,
        web_search: 0,
        standard: Scale {
            base: rates([2_000_000, 300_000, 2_000_000, 2_000_000, 2_000_000, 6_000_000, 6_000_000, 6_000_000]),
            above: &[
                (200_000, rates([4_000_000, 600_000, 4_000_000, 4_000_000, 4_000_000, 12_000_000, 12_000_000, 12_000_000])),
            ],
        },
        tiers: &[],
    },
    Model {
        provider: "xai",
        name: "grok-4.6",
        context_tokens: 500_000,
        output_tokens: 500_000,
        web_search: 0,
        standard: Scale {
            base: rates([2_000_000, 500_000, 2_000_000, 2_000_000, 2_000_000, 6_000_000, 6_000_000, 6_000_000]),
            above: &[
                (200_000, rates([4_000_000, 1_000_000, 4_000_000, 4_000_000, 4_000_000, 12_000_000, 12_000_000, 12_000_000])),
            ],
        },
        tiers: &[],
    },
    Model {
        provider: "xai",
        name: "grok-4.7",
        context_tokens: 500_000,
        output_tokens: 500_000,
        web_search: 0,
        standard: Scale {
            base: rates([2_000_000, 500_000, 2_000_000, 2_000_000, 2_000_000, 6_000_000, 6_000_000, 6_000_000]),
            above: &[
                (200_000, rates([4_000_000, 1_000_000, 4_000_000, 4_000_000, 4_000_000, 12_000_000, 12_000_000, 12_000_000])),
            ],
        },
        tiers: &[],
    },
    Model {
        provider: "xai",
        name: "grok-code-fast-1",
        context_tokens: 256_000,
        output_tokens: 256_000,
        web_search: 0,
        standard: Scale {
            base: rates([1_000_000, 200_000, 1_000_000, 1_000_000, 1_000_000, 2_000_000, 2_000_000, 2_000_000]),
            above: &[
                (200_000, rates([2_000_000, 400_000, 2_000_000, 2_000_000, 2_000_000, 4_000_000, 4_000_000, 4_000_000])),
            ],
        },
        tiers: &[],
    },
];
