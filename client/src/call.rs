// SPDX-License-Identifier: Apache-2.0
//! Calls, decoded by the metadata of the chain's runtime, for people who sign calls that others have made:
//! [`GridAt::call`] reads the bytes, [`call_hash`] proves that they are the proposed ones.

use crate::{AccountId32, GridAt, api};
use scale_info::{PortableRegistry, TypeDef, TypeDefPrimitive};
use sp_core::{Blake2Hasher, H256, Hasher};
use subxt::{
    Metadata,
    ext::scale_value::{
        Composite, Primitive, Value, ValueDef,
        scale::{decode_as_type, encode_as_type},
    },
};

/// The most calls that others make in turn: decoding takes stack for each, and the chain takes no call nested deeper.
const MAX_WRAPPERS: usize = 256;

/// A call of the runtime with all its arguments, calls in it included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Name of its pallet, such as `Billing`.
    pub pallet: String,
    /// Its name in the pallet, such as `deposit`.
    pub name: String,
    /// Its arguments with their names, in the order of the metadata.
    pub arguments: Vec<(String, Argument)>,
}

/// An argument of a call, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// A call that the call makes in turn.
    Call(Call),
    /// An account, also one in the form of an address.
    Account(AccountId32),
    /// A number without sign.
    Number(u128),
    /// Yes or no.
    Flag(bool),
    /// Bytes, which may be a text.
    Bytes(Vec<u8>),
    /// Any number of the same.
    List(Vec<Self>),
    /// The fields of a struct with their names.
    Record(Vec<(String, Self)>),
    /// One of several kinds, by its name, such as `Some`, with the fields that this kind has.
    Variant(String, Vec<(String, Self)>),
    /// What calls of this chain don't have, written out.
    Other(String),
}

/// Why bytes aren't a call.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The metadata doesn't decode them.
    #[error("these bytes are no call of the chain's runtime: {0}")]
    Undecodable(String),
    /// More follows.
    #[error("these bytes are no call of the chain's runtime: {0} bytes are left over")]
    LeftOver(usize),
    /// So many bytes may begin a call that makes others, that they may be nested without end.
    #[error("these bytes may be more than {MAX_WRAPPERS} calls that make others: no such call is decoded")]
    Wrappers,
}

/// The hash by which chain and signatories know a call: Blake2b, 256 bits, of its bytes.
pub fn call_hash(bytes: &[u8]) -> H256 {
    Blake2Hasher::hash(bytes)
}

impl Call {
    /// The call in these bytes, by the metadata of the block in which it was proposed or is to be made.
    ///
    /// # Errors
    /// If the bytes aren't one call and no more, or nest calls without end.
    pub fn decode(bytes: &[u8], metadata: &Metadata) -> Result<Self, CallError> {
        let reader = Reader::new(metadata);
        let value = reader.value(bytes)?;
        reader.call(&value).ok_or_else(|| CallError::Undecodable("it has another shape".into()))
    }
}

impl GridAt {
    /// The call in these bytes, by the metadata of this block.
    ///
    /// # Errors
    /// As [`Call::decode`].
    pub fn call(&self, bytes: &[u8]) -> Result<Call, CallError> {
        Call::decode(bytes, self.0.metadata_ref())
    }

    /// Whether calls are decoded by the metadata that this client was built with: others have the endpoint's word
    /// alone.
    pub fn has_known_metadata(&self) -> bool {
        api::is_codegen_valid_for(self.0.metadata_ref())
    }
}

/// The bytes of the call with this hash: of the call in `bytes`, or of one in it.
pub(crate) fn find(bytes: &[u8], hash: H256, metadata: &Metadata) -> Result<Option<Vec<u8>>, CallError> {
    let reader = Reader::new(metadata);
    Ok(reader.find(&reader.value(bytes)?, hash))
}

/// Reads values of which each knows its type.
struct Reader<'a> {
    metadata: &'a Metadata,
    types: &'a PortableRegistry,
    call_type: u32,
}

impl<'a> Reader<'a> {
    fn new(metadata: &'a Metadata) -> Self {
        Self { metadata, types: metadata.types(), call_type: metadata.outer_enums().call_enum_ty() }
    }

    fn value(&self, bytes: &[u8]) -> Result<Value<u32>, CallError> {
        let wrappers = self.wrappers();
        if bytes.windows(2).filter(|begin| wrappers.iter().any(|index| index.as_slice() == *begin)).count()
            > MAX_WRAPPERS
        {
            return Err(CallError::Wrappers);
        }
        let mut rest = bytes;
        let value = decode_as_type(&mut rest, self.call_type, self.types)
            .map_err(|error| CallError::Undecodable(error.to_string()))?;
        if rest.is_empty() { Ok(value) } else { Err(CallError::LeftOver(rest.len())) }
    }

    /// How calls begin that make others: with the indices of their pallet and of their own.
    fn wrappers(&self) -> Vec<[u8; 2]> {
        let mut wrappers = Vec::new();
        for pallet in self.metadata.pallets() {
            for call in pallet.call_variants().unwrap_or_default() {
                if call.fields.iter().any(|field| self.holds_calls(field.ty.id)) {
                    wrappers.push([pallet.call_index(), call.index]);
                }
            }
        }
        wrappers
    }

    fn holds_calls(&self, type_id: u32) -> bool {
        match self.types.resolve(type_id).map(|of| &of.type_def) {
            Some(TypeDef::Sequence(of)) => of.type_param.id == self.call_type,
            _ => type_id == self.call_type,
        }
    }

    fn find(&self, value: &Value<u32>, hash: H256) -> Option<Vec<u8>> {
        if value.context == self.call_type {
            let mut bytes = Vec::new();
            let encoded = encode_as_type(value, self.call_type, self.types, &mut bytes);
            if encoded.is_ok() && call_hash(&bytes) == hash {
                return Some(bytes);
            }
        }
        let parts = match &value.value {
            ValueDef::Composite(parts) => parts,
            ValueDef::Variant(variant) => &variant.values,
            ValueDef::BitSequence(_) | ValueDef::Primitive(_) => return None,
        };
        parts.values().find_map(|part| self.find(part, hash))
    }

    /// A call is a variant of pallets, which has a variant of their calls.
    fn call(&self, value: &Value<u32>) -> Option<Call> {
        let ValueDef::Variant(pallet) = &value.value else { return None };
        let ValueDef::Variant(call) = &pallet.values.values().next()?.value else { return None };
        let is_call = value.context == self.call_type;
        is_call.then(|| Call {
            pallet: pallet.name.clone(),
            name: call.name.clone(),
            arguments: self.parts(&call.values),
        })
    }

    fn parts(&self, parts: &Composite<u32>) -> Vec<(String, Argument)> {
        match parts {
            Composite::Named(parts) => {
                parts.iter().map(|(name, part)| (name.clone(), self.argument(part))).collect()
            }
            Composite::Unnamed(parts) => {
                let parts = parts.iter().enumerate();
                parts.map(|(index, part)| (index.to_string(), self.argument(part))).collect()
            }
        }
    }

    fn argument(&self, value: &Value<u32>) -> Argument {
        if let Some(call) = self.call(value) {
            return Argument::Call(call);
        }
        match &value.value {
            ValueDef::Composite(parts) => self.composite(value.context, parts),
            ValueDef::Variant(variant) => match (variant.name.as_str(), &*self.parts(&variant.values)) {
                // An address.
                ("Id", [(_, account @ Argument::Account(_))]) => account.clone(),
                (name, parts) => Argument::Variant(name.into(), parts.to_vec()),
            },
            ValueDef::BitSequence(bits) => Argument::Other(format!("{bits:?}")),
            ValueDef::Primitive(Primitive::U128(number)) => Argument::Number(*number),
            ValueDef::Primitive(Primitive::Bool(flag)) => Argument::Flag(*flag),
            ValueDef::Primitive(Primitive::String(text)) => Argument::Bytes(text.clone().into_bytes()),
            ValueDef::Primitive(Primitive::I128(number)) => Argument::Other(number.to_string()),
            ValueDef::Primitive(other) => Argument::Other(format!("{other:?}")),
        }
    }

    fn composite(&self, type_id: u32, parts: &Composite<u32>) -> Argument {
        let of = self.types.resolve(type_id);
        let element = match of.map(|of| &of.type_def) {
            Some(TypeDef::Sequence(of)) => Some(of.type_param.id),
            Some(TypeDef::Array(of)) => Some(of.type_param.id),
            _ => None,
        };
        if let Some(element) = element {
            let parts = parts.values();
            return if self.is_byte(element) {
                Argument::Bytes(parts.filter_map(|part| part.as_u128()?.try_into().ok()).collect())
            } else {
                Argument::List(parts.map(|part| self.argument(part)).collect())
            };
        }
        let mut parts = match parts {
            // A type around another one.
            Composite::Unnamed(parts) if parts.len() == 1 => self.argument(&parts[0]),
            parts => Argument::Record(self.parts(parts)),
        };
        let is_account =
            of.is_some_and(|of| of.path.segments.last().is_some_and(|name| name == "AccountId32"));
        if let (true, Argument::Bytes(bytes)) = (is_account, &parts)
            && let Ok(account) = <[u8; 32]>::try_from(bytes.as_slice())
        {
            parts = Argument::Account(AccountId32(account));
        }
        parts
    }

    fn is_byte(&self, type_id: u32) -> bool {
        let of = self.types.resolve(type_id).map(|of| &of.type_def);
        matches!(of, Some(TypeDef::Primitive(TypeDefPrimitive::U8)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Team, team::signed_for};
    use codec::Encode;

    const METADATA: &[u8] = include_bytes!("../metadata.scale");
    const BOB: AccountId32 = AccountId32([7; 32]);

    fn metadata() -> Metadata {
        Metadata::decode_from(METADATA).unwrap()
    }

    fn index(pallet: &str, call: &str) -> [u8; 2] {
        let metadata = metadata();
        let pallet = metadata.pallet_by_name(pallet).unwrap();
        [pallet.call_index(), pallet.call_variant_by_name(call).unwrap().index]
    }

    /// The bytes of a transfer: an address, and a compact number.
    fn transfer() -> Vec<u8> {
        let arguments = (0u8, BOB.0, codec::Compact(125_000_000u128)).encode();
        [&index("Balances", "transfer_keep_alive")[..], &arguments].concat()
    }

    fn batch(calls: &[Vec<u8>]) -> Vec<u8> {
        let count = codec::Compact(u32::try_from(calls.len()).unwrap()).encode();
        [&index("Utility", "batch_all")[..], &count, &calls.concat()].concat()
    }

    #[test]
    fn a_call_is_decoded_with_its_arguments() {
        let call = Call::decode(&transfer(), &metadata()).unwrap();
        assert_eq!((call.pallet.as_str(), call.name.as_str()), ("Balances", "transfer_keep_alive"));
        let expected = [
            ("dest".to_owned(), Argument::Account(BOB)),
            ("value".to_owned(), Argument::Number(125_000_000)),
        ];
        assert_eq!(call.arguments, expected);
    }

    #[test]
    fn a_signature_for_a_team_tells_its_account() {
        let (signer, other) = (AccountId32([3; 32]), AccountId32([9; 32]));
        let team = Team::new(vec![signer, BOB, other], 2).unwrap();
        let decoded = |name: &str, threshold: &[u8], rest: &[u8]| {
            let others = [BOB.0, other.0].to_vec().encode();
            let bytes = [&index("Multisig", name)[..], threshold, &others, rest].concat();
            Call::decode(&bytes, &metadata()).unwrap()
        };
        let rest = [None::<(u32, u32)>.encode(), transfer(), vec![0, 0]].concat();
        let signed = decoded("as_multi", &2u16.encode(), &rest);
        assert_eq!(signed_for(&signed, signer), Some(team.account()));
        assert_ne!(signed_for(&signed, AccountId32([4; 32])), Some(team.account()));
        let alone = decoded("as_multi_threshold_1", &[], &transfer());
        assert_eq!(
            signed_for(&alone, signer),
            signed_for(&decoded("as_multi", &1u16.encode(), &rest), signer)
        );
        assert_eq!(signed_for(&Call::decode(&transfer(), &metadata()).unwrap(), signer), None);
    }

    #[test]
    fn the_metadata_of_the_build_are_known() {
        assert!(api::is_codegen_valid_for(&metadata()));
    }

    #[test]
    fn calls_in_calls_are_decoded_and_found() {
        let bytes = batch(&[batch(&[transfer()]), transfer()]);
        let call = Call::decode(&bytes, &metadata()).unwrap();
        let [(_, Argument::List(calls))] = &*call.arguments else { panic!("{call:?}") };
        assert!(calls.iter().all(|call| matches!(call, Argument::Call(_))), "{calls:?}");
        for wanted in [bytes.clone(), batch(&[transfer()]), transfer()] {
            assert_eq!(find(&bytes, call_hash(&wanted), &metadata()).unwrap(), Some(wanted));
        }
        assert_eq!(find(&bytes, H256::zero(), &metadata()).unwrap(), None);
    }

    #[test]
    fn calls_nested_without_end_are_not_decoded() {
        let nested = |levels| (0..levels).fold(transfer(), |call, _| batch(&[call]));
        assert!(Call::decode(&nested(100), &metadata()).is_ok());
        let error = Call::decode(&nested(1_000), &metadata()).unwrap_err();
        assert!(matches!(error, CallError::Wrappers), "{error}");
    }

    #[test]
    fn bytes_that_are_no_call_are_refused() {
        let whole = transfer();
        for wrong in [b"".as_slice(), &[255, 255], &whole[..whole.len() - 1]] {
            let error = Call::decode(wrong, &metadata()).unwrap_err();
            assert!(matches!(error, CallError::Undecodable(_)), "{error}");
        }
        let error = Call::decode(&[&whole[..], &[0]].concat(), &metadata()).unwrap_err();
        assert!(matches!(error, CallError::LeftOver(1)), "{error}");
    }
}
