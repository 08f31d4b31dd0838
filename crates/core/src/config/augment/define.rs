//! One table for the types of the transforms and for the rules of their parameters.

/// Defines each transform's type, with its parameters and defaults, the enum of all, and the rules
/// that a configuration is checked by. A transform is written as
/// `Type "name" (main parameter) probability { parameter: type = default, rule; … }`; the main
/// parameter is what a bare number stands for.
macro_rules! define_transforms {
    ($(
        $(#[$attribute:meta])*
        $variant:ident $name:literal ($main:literal) $probability:literal {
            $(
                $(#[$field_attribute:meta])*
                $field:ident: $kind:ty = $default:expr, $rule:expr;
            )*
        }
    )*) => {
        $(
            $(#[$attribute])*
            #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
            #[serde(deny_unknown_fields, default)]
            pub struct $variant {
                $(
                    $(#[$field_attribute])*
                    pub $field: $kind,
                )*
                /// Probability of applying it, 0 to 1.
                pub p: f64,
            }

            impl Default for $variant {
                fn default() -> Self {
                    Self { $($field: $default,)* p: $probability }
                }
            }

            impl From<$variant> for Transform {
                fn from(own: $variant) -> Self {
                    Self::$variant(own)
                }
            }
        )*

        /// A change to an image and its boxes.
        #[derive(Debug, Clone, PartialEq)]
        #[non_exhaustive]
        pub enum Transform {
            $(
                $(#[$attribute])*
                $variant($variant),
            )*
        }

        impl Transform {
            /// The name in a configuration.
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)*
                }
            }

            /// Probability of applying it.
            pub const fn probability(&self) -> f64 {
                match self {
                    $(Self::$variant(own) => own.p,)*
                }
            }

            /// The transform of a name with these parameters, which may be in a short form.
            pub(super) fn from_json(name: &str, value: Json) -> Result<Self, serde_json::Error> {
                match name {
                    $($name => {
                        serde_json::from_value(parameters(value, $main)).map(Self::$variant)
                    })*
                    _ => Err(serde_json::Error::custom(format!("unknown transform `{name}`"))),
                }
            }

            /// The parameters in their shortest form.
            pub(super) fn to_json(&self) -> Json {
                let json = |own: Result<Json, _>| own.unwrap_or_default();
                match self {
                    $(Self::$variant(own) => {
                        let default = json(serde_json::to_value($variant::default()));
                        shortest(json(serde_json::to_value(own)), &default, $main)
                    })*
                }
            }
        }

        /// The rule of each transform.
        pub(in crate::config) const TRANSFORMS: &[Field] = &[
            $(optional($name, Rule::Shorthand {
                main: $main,
                fields: &[
                    $(optional(stringify!($field), $rule),)*
                    optional("p", Rule::Number(ZERO_TO_ONE)),
                ],
            }),)*
        ];
    };
}

pub(super) use define_transforms;
