//! Given this platform, exactly which files are fetched? Names, versions and
//! checksums, one entry a platform.

use std::env::consts::{ARCH, OS};

/// Version of the wheels.
pub(super) const VERSION: &str = "1.24.4";
/// Version of the npm package, which carries its own builds.
pub(super) const NPM_VERSION: &str = "1.24.3";
/// Checksum of the npm package, one for all platforms.
pub(super) const NPM_SHA256: &str =
    "aa1bb5fa261ea68de05dd53efbba210cd7adf2d2850f4c3a201054c74cc78040";

/// What is fetched for one platform.
#[derive(Debug)]
pub(super) struct Pin {
    os: &'static str,
    arch: &'static str,
    /// pip's name of the platform.
    pub(super) platform: &'static str,
    /// Checksum of the wheel.
    pub(super) wheel_sha256: &'static str,
    /// The library out of the wheel.
    pub(super) wheel: Library,
    /// The library out of the npm package.
    pub(super) npm: Option<Library>,
}

/// One file of a package.
#[derive(Debug)]
pub(super) struct Library {
    /// Path within the package.
    pub(super) member: &'static str,
    pub(super) bytes: u64,
    pub(super) sha256: &'static str,
}

impl Library {
    /// The file name without the folders of the package.
    pub(super) fn name(&self) -> &'static str {
        self.member.rsplit('/').next().unwrap_or(self.member)
    }
}

#[cfg(test)]
impl Pin {
    /// One that a test has a wheel for.
    pub(super) fn of_test(wheel_sha256: &'static str, wheel: Library) -> Self {
        Self { os: "", arch: "", platform: "test", wheel_sha256, wheel, npm: None }
    }
}

static PINS: [Pin; 4] = [
    Pin {
        os: "linux",
        arch: "x86_64",
        platform: "manylinux_2_28_x86_64",
        wheel_sha256: "e54ad52e61d2d4618dcff8fa1480ac66b24ee2eab73331322db1049f11ccf330",
        wheel: Library {
            member: "onnxruntime/capi/libonnxruntime.so.1.24.4",
            bytes: 22_159_232,
            sha256: "2d518e11c7767f9fdc4413bdbeb45acf30db504ff76a82fc19d9238a3f9f6c24",
        },
        npm: Some(Library {
            member: "package/bin/napi-v6/linux/x64/libonnxruntime.so.1",
            bytes: 35_164_376,
            sha256: "92ba8e44d31b80a34f5e805076a044122c3be1fffe0d88ed790de7267b0b2682",
        }),
    },
    Pin {
        os: "linux",
        arch: "aarch64",
        platform: "manylinux_2_28_aarch64",
        wheel_sha256: "046ff290045a387676941a02a8ae5c3ebec6b4f551ae228711968c4a69d8f6b7",
        wheel: Library {
            member: "onnxruntime/capi/libonnxruntime.so.1.24.4",
            bytes: 18_625_376,
            sha256: "f373ae5fd4d878ed17ebea26e5480bd3d0a15e3bd6bc94b878e6c1b73998d22a",
        },
        npm: Some(Library {
            member: "package/bin/napi-v6/linux/arm64/libonnxruntime.so.1",
            bytes: 18_625_376,
            sha256: "33032cb5b91c12edbf028d7c69fa40a31848d66c0095448758af237d5e0b07db",
        }),
    },
    Pin {
        os: "macos",
        arch: "aarch64",
        platform: "macosx_14_0_arm64",
        wheel_sha256: "0bdfce8e9a6497cec584aab407b71bf697dac5e1b7b7974adc50bf7533bdb3a2",
        wheel: Library {
            member: "onnxruntime/capi/libonnxruntime.1.24.4.dylib",
            bytes: 27_708_456,
            sha256: "f7a4418c1fbbb12705f26991c52cd9e4a90c54d4802c487d0facb20897790fe9",
        },
        npm: Some(Library {
            member: "package/bin/napi-v6/darwin/arm64/libonnxruntime.1.24.3.dylib",
            bytes: 35_937_208,
            sha256: "76831409ce6eded92b4cb343cf422c458a60c1ea1d5f3cfa69692ab7fcc67f0f",
        }),
    },
    Pin {
        os: "windows",
        arch: "x86_64",
        platform: "win_amd64",
        wheel_sha256: "b43b63eb24a2bc8fc77a09be67587a570967a412cccb837b6245ccb546691153",
        wheel: Library {
            member: "onnxruntime/capi/onnxruntime.dll",
            bytes: 16_119_840,
            sha256: "ef720fc44a4ea48626bfe1ebd29642de20222d7f104a509ea305d9f3cb3b7850",
        },
        npm: None,
    },
];

/// The entry for the machine this runs on.
pub(super) fn here() -> Option<&'static Pin> {
    PINS.iter().find(|pin| pin.os == OS && pin.arch == ARCH)
}

/// Every entry.
#[cfg(test)]
pub(super) fn all() -> &'static [Pin] {
    &PINS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_whole_and_new_enough() {
        let minor = |v: &str| v.split('.').nth(1).and_then(|m| m.parse::<u32>().ok());
        assert!(minor(VERSION) >= Some(ort::MINOR_VERSION));
        assert!(minor(NPM_VERSION) >= Some(ort::MINOR_VERSION));
        for (i, pin) in all().iter().enumerate() {
            let libraries = [Some(&pin.wheel), pin.npm.as_ref()];
            let mut sums = vec![pin.wheel_sha256, NPM_SHA256];
            sums.extend(libraries.into_iter().flatten().map(|l| l.sha256));
            for sum in sums {
                let lower_hex = sum.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
                assert!(sum.len() == 64 && lower_hex, "{}: {sum}", pin.platform);
            }
            for other in &all()[..i] {
                assert!((pin.os, pin.arch) != (other.os, other.arch), "{}", pin.platform);
                assert_ne!(pin.wheel_sha256, other.wheel_sha256);
            }
        }
    }
}
