//! Loops compiled for the widest vectors of the processor they run on.

/// Defines a function whose body is compiled once for each instruction set (AVX-512, AVX2 with
/// FMA, the baseline), the best one chosen at run time. The compiler vectorises the loops in the
/// body for each; what it calls must be inlined into it to be among them.
#[macro_export]
macro_rules! vectorized {
    ($(
        $(#[$attribute:meta])*
        $visibility:vis fn $name:ident($($argument:ident: $kind:ty),* $(,)?) $body:block
    )*) => {$(
        $(#[$attribute])*
        $visibility fn $name($($argument: $kind),*) {
            struct Call<T>(T);

            impl $crate::pulp::WithSimd for Call<($($kind,)*)> {
                type Output = ();

                #[inline(always)]
                fn with_simd<S: $crate::pulp::Simd>(self, _: S) {
                    let ($($argument,)*) = self.0;
                    $body
                }
            }

            $crate::instructions::arch().dispatch(Call(($($argument,)*)));
        }
    )*};
}

pub(crate) use vectorized;
